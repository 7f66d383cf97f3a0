//! The one integration binary: stories of the product over real sockets, scenarios without any, and the house rules.

mod house;
