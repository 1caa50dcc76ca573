//! Datasets and loaders of wgrad.
