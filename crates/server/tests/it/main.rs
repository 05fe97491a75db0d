//! Black-box tests of the whole server over HTTP, one binary; a file a part of the product.

mod harness;
