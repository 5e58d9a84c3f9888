"""The yardstick of the benchmarks: BigGAN, MineGAN, DiffAugment and CR done literally, as they were published.

Everything here is written for comparison: one operation after the other in the published order, NCHW, no rewriting of
convolutions, nothing kept between forwards, `torch.optim.Adam` as it comes. tests/test_benchmarks.py holds it to the
numbers of the public reference code, so that a time of it is a time of the right thing.
"""
