//! The derive that gives a wgrad model its parameters.
