"""What a plan costs: work, throughput, device time and disk, from files alone. No torch."""
