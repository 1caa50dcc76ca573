//! Layers, losses and initialisers of wgrad, as plain structs.
