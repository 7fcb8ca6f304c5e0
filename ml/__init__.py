"""Nets, preprocessing, training and inference of the models; imports no Django."""
