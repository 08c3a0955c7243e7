"""Masking: a release's secret values are replaced by `***` before anything of its output is stored."""
