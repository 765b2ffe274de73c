"""What only Salt needs: events, resources, aggregation, many hosts, where our modules are."""
