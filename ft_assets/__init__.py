"""An LLM fine-tuning factory made of Dagster assets."""
