"""A tiny random Llama and a byte tokenizer: the real machinery in milliseconds."""

from datetime import UTC, datetime
from pathlib import Path

import torch
from captured import Captured
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from anima.context import ChatFormat, jinja_render
from anima.trunk.fast import FastTrunk
from anima.trunk.fast_loading import fast_info
from anima.trunk.fast_shape import shape_of
from anima.trunk.fast_weights import arrange
from anima.trunk.loader import Loaded
from anima.trunk.reference import ATTENTION, ReferenceTrunk
from anima.trunk.static import StaticTrunk
from anima.trunk.static_graphs import Runner
from anima.trunk.static_weights import placed
from anima.trunk.tokens import Tokenizer

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' "
    "+ message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def backend() -> Backend:
    """A tokenizer with one token per byte and ChatML's special tokens first."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIALS, *alphabet])}
    made = Backend(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    return made


def llama(seed: int = 0, *, layers: int = 3, window: int = 512, heads: int = 4) -> LlamaForCausalLM:
    """A random Llama of width 32 with grouped heads, in float32 on the CPU."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=heads // 2, vocab_size=len(SPECIALS) + 256,
        max_position_embeddings=window, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        initializer_range=0.3,  # the usual 0.02 leaves attention almost without effect
        attn_implementation=ATTENTION,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def trunk(seed: int = 0, **options: int) -> ReferenceTrunk:
    return ReferenceTrunk(llama(seed, **options), name="tiny", fingerprint=f"tiny-{seed}")


def fast(seed: int = 0, **options: int) -> FastTrunk:
    """The same model as `trunk(seed)`, in the fast execution."""
    model = llama(seed, **options)
    shape = shape_of({**model.config.to_dict(), "architectures": ["LlamaForCausalLM"]})
    info = fast_info(shape, name="tiny", fingerprint=f"tiny-{seed}", quantize="none")
    return FastTrunk(
        arrange(model.state_dict(), shape, "none"), shape, info,
        reference=lambda: trunk(seed, **options),
    )  # fmt: skip


def static(seed: int = 0, *, runner: Runner | None = None, **options: int) -> StaticTrunk:
    """The same model as `trunk(seed)`, in the fast execution of devices, on the CPU."""
    model = llama(seed, **options)
    shape = shape_of({**model.config.to_dict(), "architectures": ["LlamaForCausalLM"]})
    info = fast_info(shape, name="tiny", fingerprint=f"tiny-{seed}", quantize="none")
    weights = placed(model.state_dict(), shape, torch.device("cpu"), torch.float32)
    return StaticTrunk(
        weights, shape, info, reference=lambda: trunk(seed, **options), runner=runner
    )


def captured(seed: int = 0, **options: int) -> StaticTrunk:
    """The same with what a CUDA graph would do."""
    return static(seed, runner=Captured(), **options)


EXECUTIONS = {"reference": trunk, "fast": fast, "static": static, "captured": captured}


def loaded(seed: int = 0, *, engine: str = "reference", **options: int) -> Loaded:
    return Loaded(
        trunk=EXECUTIONS[engine](seed, **options),
        tokenizer=Tokenizer(backend()),
        chat_template=TEMPLATE,
        end_ids=frozenset({2}),
    )


def chat_format() -> ChatFormat:
    return ChatFormat.of(jinja_render(TEMPLATE, {}, lambda: NOON))


def save(folder: Path, model: torch.nn.Module | None = None) -> Path:
    """A folder that any transformers user could have: weights, config, tokenizer, chat template."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend(), eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    (model or llama()).save_pretrained(folder)
    return folder
