"""Numerical methods that several stages share: logistic regression on soft labels, and linear algebra on one core.

What is fitted, and to what, is left to the stages.
"""
