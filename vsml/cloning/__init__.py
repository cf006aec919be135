"""Learning-algorithm cloning: theta for which VSML, running forward only, is backpropagation."""
