//! Nothing: each service is an example.
