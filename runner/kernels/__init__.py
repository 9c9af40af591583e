"""What LLaMA Factory, transformers and peft compute with more work than the mathematics needs.

packed.py   on a GPU: attention over packed rows by their lengths, without a mask of tokens times tokens
lora.py     on a GPU: a LoRA layer's product added to its base's in place, without copies in float32
head.py     on a CPU: logits of the tokens that have a label
install.py  where they are put in, and when not
"""
