"""TransGAN (Jiang, Chang & Wang 2021, arXiv 2102.07074): generator and discriminator of transformers alone."""
