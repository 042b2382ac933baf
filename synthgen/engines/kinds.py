"""List all engines by the name that `engine=` takes.

A new engine is one line here; `synthgen.engines.base` defines its interface.
"""

from synthgen.cluster.config import RayConfig
from synthgen.engines.base import EngineConfig
from synthgen.engines.batch.config import BatchConfig
from synthgen.engines.fake.replay import ReplayConfig
from synthgen.engines.http.config import EndpointConfig
from synthgen.engines.local.engine import TransformersConfig
from synthgen.engines.vllm.config import VllmConfig
from synthgen.engines.vllm.inprocess import VllmInprocessConfig

ENGINES: dict[str, type[EngineConfig]] = {
    "vllm": VllmConfig,
    "ray": RayConfig,
    "vllm_inprocess": VllmInprocessConfig,
    "openai": EndpointConfig,
    "openai_batch": BatchConfig,
    "transformers": TransformersConfig,
    "replay": ReplayConfig,
}
