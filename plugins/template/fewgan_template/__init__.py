"""One method of each kind for fewgan; delete the modules that you do not need."""
