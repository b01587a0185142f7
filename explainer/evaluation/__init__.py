"""The fidelity harness: are the explanations of a model true of that model? Numbers, gates, and a verdict."""
