"""An LLM fine-tuning factory made of Dagster assets."""

import logging

# PEFT imports bitsandbytes wherever it is installed, which then asks, in each process, for a CPU kernel from a hub.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
