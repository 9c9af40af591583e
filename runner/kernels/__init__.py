"""What LLaMA Factory, transformers and peft compute with more memory traffic than the mathematics needs, on a GPU.

packed.py   attention over packed rows by their lengths, without a mask of tokens times tokens
lora.py     a LoRA layer's product added to its base's in place, without copies in float32
install.py  where they are put in, and when not
"""
