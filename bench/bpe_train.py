"""The peer of bpe.mjs: Hugging Face's tokenizers. Trains the same kind of tokenizer on a file whenever it is asked."""
import json
import sys
import time

import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

path, size = sys.argv[1], int(sys.argv[2])
print(json.dumps({"name": "tokenizers " + tokenizers.__version__}), flush=True)
for _ in sys.stdin:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        show_progress=False,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    started = time.perf_counter()
    tokenizer.train([path], trainer)
    print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)
