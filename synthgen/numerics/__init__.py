"""Provide the numerical methods that several stages share, such as folds and logistic regression on soft labels.

The stages choose the data.
"""
