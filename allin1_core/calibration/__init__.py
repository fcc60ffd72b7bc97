"""What was measured on this machine, remembered under the conditions for which it holds."""
