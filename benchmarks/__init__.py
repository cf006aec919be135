"""How fast VSML is, against its plain form and against the machine's own ceilings."""
