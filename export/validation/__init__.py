"""What a published model does on recordings it was not trained on."""
