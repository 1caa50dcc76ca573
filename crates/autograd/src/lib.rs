//! Reverse-mode differentiation of wgrad's recorded graph, to any order.
