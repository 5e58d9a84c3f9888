"""Projected GAN (Sauer et al. 2021, arXiv 2111.01007) and the FastGAN generator (Liu et al. 2021, arXiv 2101.04775)."""
