"""What commands share: options, output, failures."""
