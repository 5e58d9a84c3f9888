"""What `fewgan fid` is made of: features, distances, charts, the memorising check."""
