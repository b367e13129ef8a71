"""What tests run against: a store, single services, a gateway in this process, a whole venue; and clients for them."""
