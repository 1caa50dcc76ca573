//! Optimizers, schedules and gradient clipping of wgrad.
