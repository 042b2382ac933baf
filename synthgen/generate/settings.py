"""Hold the settings of sampling and grouping that all strategies share."""

from dataclasses import dataclass

from synthgen.errors import ConfigError

_GROUP, _LEAST_GROUP = 16, 4
_ROUND = 128  # number of requests within which every label should be asked for


@dataclass
class PromptingConfig:
    group: int | None = None
    """Most requests that share one prompt before other demonstrations are drawn. null means 16, or fewer (at least 4)
    when there are many labels. Groups are smaller in short runs and at the end of every run."""
    items: int = 1
    """Number of samples that one request asks for."""
    temperature: float = 0.8
    """Sampling temperature."""
    top_p: float = 1.0
    """Nucleus sampling (top-p). A value below 1 sorts the vocabulary for each token, which is slow on CPU."""
    min_p: float = 0.05
    """Never sample a token whose probability is below this share of the likeliest token's probability (min-p)."""
    max_tokens: int = 256
    """Most tokens of one reply."""
    whole_sentences: bool = True
    """If the last field of a reply fills its maximum length, cut its text back to the last complete sentence."""
    copied_words: int | None = 5
    """A reply must not copy this many words in a row from a demonstration; null for no limit. vLLM (also behind
    engine=openai) and engine=transformers prevent such copies during generation;
    with other engines a check rejects them afterwards."""
    adapter: str | None = None
    """Folder of a LoRA adapter for the generator, made by `synthgen adapt generator`. With engine=openai, the name
    under which the endpoints serve an adapter. null for the base model."""

    def __post_init__(self) -> None:
        for key in ("group", "items", "max_tokens"):
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise ConfigError(f"generate.{key}: must be 1 or more, got {getattr(self, key)}")
        if self.copied_words is not None and self.copied_words < 2:
            raise ConfigError(f"generate.copied_words: must be 2 or more, or null, got {self.copied_words}")
        if not 0 <= self.temperature <= 5:
            raise ConfigError(f"generate.temperature: must be from 0 to 5, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"generate.top_p: must be above 0 and at most 1, got {self.top_p}")
        if not 0 <= self.min_p < 1:
            raise ConfigError(f"generate.min_p: must be from 0 to below 1, got {self.min_p}")


def group_size(cfg: PromptingConfig, labels: int) -> int:
    """Return the most slots of a group, for a task with this number of labels."""
    return cfg.group or min(_GROUP, max(_LEAST_GROUP, _ROUND // max(1, labels)))


def check_shown(key: str, demonstrations: int, foils: int) -> None:
    """Raise ConfigError where the settings under `key` give an invalid number of samples to show."""
    if demonstrations < 1:
        raise ConfigError(f"{key}.demonstrations: must be 1 or more, got {demonstrations}")
    if foils < 0:
        raise ConfigError(f"{key}.foils: must be 0 or more, got {foils}")
