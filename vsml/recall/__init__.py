"""Two learned functions, one for neurons and one for synapses, that are meta-trained to remember (a reconstruction)."""
