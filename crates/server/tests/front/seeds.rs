//! The acceptance rows of seed 0 (K, the task API), seed 1 (R, the registry), seed 2 (G, plain login), and seed 3 (W, partners) that need no gateway.

mod login;
mod partner;
mod registry;
mod task;
