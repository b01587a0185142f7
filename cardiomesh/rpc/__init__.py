"""What both ends of a gRPC call share: errors on the wire and how channels are made."""
