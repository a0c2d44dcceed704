"""Experiments: a workload, faults and expectations as a file; run on a lab, judged from what happened."""
