"""What all commands share: failures, options, output, changes."""
