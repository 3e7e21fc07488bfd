"""What the programs that draw pictures for the documents share."""
