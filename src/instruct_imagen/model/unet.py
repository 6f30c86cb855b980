"""`InstructUNet`: a diffusers text-to-image U-Net that also attends to a multi-modal context.

[Hu24] §3.1: every reference goes, with its marker and text as the prompt, through the U-Net's own
down-sampling encoder; the features of its last layer become the keys and values of a new
cross-attention next to each text cross-attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from diffusers import ConfigMixin, ModelMixin, UNet2DConditionModel
from diffusers.configuration_utils import register_to_config
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from instruct_imagen.model.attention import DeviceAttnProcessor, IgnoreContext
from instruct_imagen.model.context_attention import (
    POSITION_DIM,
    ContextAttnProcessor,
    ContextStates,
    position_features,
)
from instruct_imagen.model.text import TextStates


@dataclass(frozen=True, kw_only=True)
class ReferenceBatch:
    """The references of a batch of instructions, packed: only those that exist.

    A reference that several samples share stands here once, and at P ≥ R places.

    Attributes:
        images: (R, C, H, W) floating point in [-1, 1], R ≥ 0 references of all samples together.
        text: States of the R prompts "[ref#k] short text".
        markers: (R,) int64, k of its marker.
        reference: (P,) int64, which of the R references stands at a place.
        sample: (P,) int64, which sample of the batch the place belongs to.
        slot: (P,) int64, its number among the references of that sample, from 0.
        batch_size: B, number of instructions.
        slots: The largest number of references of a sample.
        lends: (P,) bool, whether what stands at a place shows how things look, so that an upscaler
            may take details from it (`texture_transfer`); None where all does.
    """

    images: Tensor
    text: TextStates
    markers: Tensor
    reference: Tensor
    sample: Tensor
    slot: Tensor
    batch_size: int
    slots: int
    lends: Tensor | None = None


class InstructUNet(ModelMixin, ConfigMixin):
    """A `UNet2DConditionModel` with context attention at each text attention.

    Args:
        unet_config: Config of the wrapped `UNet2DConditionModel`.
        space_to_depth: Side of the pixel blocks that are folded into channels before the U-Net and
            unfolded after it; 1 for none. Folding by 2 quarters the cost of the finest level.
        max_markers: Highest k of ``[ref#k]``.
        plain_attention: True builds the U-Net with our attention chosen by device; False with the
            processors that diffusers gives such a U-Net (adapted backbones stay bit-identical).
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        unet_config: Mapping[str, Any],
        space_to_depth: int = 1,
        max_markers: int = 8,
        plain_attention: bool = True,
    ) -> None:
        super().__init__()
        settings = {key: value for key, value in unet_config.items() if not key.startswith("_")}
        self._wrap(UNet2DConditionModel(**settings), space_to_depth, max_markers, plain_attention)

    def _wrap(
        self, unet: UNet2DConditionModel, space_to_depth: int, max_markers: int, plain: bool
    ) -> None:
        self.unet = unet
        self.space_to_depth = space_to_depth
        self.max_markers = max_markers
        self.context_dim = unet.config.block_out_channels[-1]
        self.text_dim = unet.config.encoder_hid_dim or unet.config.cross_attention_dim
        if not isinstance(self.text_dim, int):
            raise ValueError(
                f"cross_attention_dim {self.text_dim} varies by block; give the U-Net one width"
            )
        self._install_processors(plain)
        self.context_norm = nn.LayerNorm(self.context_dim)
        self.null_token = nn.Parameter(torch.randn(self.context_dim) * 0.5)
        self.marker_context = nn.Embedding(max_markers + 1, self.context_dim)
        self.marker_text = nn.Embedding(max_markers + 1, self.text_dim, padding_idx=0)
        nn.init.normal_(self.marker_context.weight, std=0.5)
        nn.init.normal_(self.marker_text.weight[1:], std=0.3)

    @classmethod
    def from_unet(
        cls,
        unet: UNet2DConditionModel,
        *,
        max_markers: int = 8,
        plain_attention: bool = False,
        **settings: Any,
    ) -> Self:
        """Adapts a pretrained U-Net: its weights are taken over, the context is new and silent.

        The output is bit-identical to that of `unet` until the first training step, also for texts
        with markers: what tells markers apart starts at zero. Attention processors of the user's
        own are not taken over.

        Args:
            unet: The pretrained U-Net.
            max_markers: See `InstructUNet`.
            plain_attention: See `InstructUNet`.
            **settings: What a subclass takes besides.

        Raises:
            ValueError: The U-Net has no attention to text.
        """
        model = cls(
            dict(unet.config), max_markers=max_markers, plain_attention=plain_attention, **settings
        )
        processors = [
            (name, parameter)
            for name, parameter in model.unet.state_dict().items()
            if ".processor." in name
        ]
        model.unet.load_state_dict({**unet.state_dict(), **dict(processors)}, strict=True)
        nn.init.zeros_(model.marker_text.weight)
        # nn.Module's own `to`: that of ModelMixin warns about float32 modules that we do not have.
        return nn.Module.to(model, dtype=unet.dtype)

    def _install_processors(self, plain: bool) -> None:
        """Context attention at each text attention, in the order of the U-Net's own listing."""
        self.sites: list[ContextAttnProcessor] = []
        size = self.unet.config.sample_size or 0  # unknown is small: the plainest start
        side = size if isinstance(size, int) else max(size)
        cells = -(-side // 2 ** (len(self.unet.config.block_out_channels) - 1))
        processors: dict[str, Any] = {}
        modules = dict(self.unet.named_modules())
        for name, base in self.unet.attn_processors.items():
            attn = modules[name.removesuffix(".processor")]
            base = DeviceAttnProcessor() if plain else base
            if not self._attends_to_text(name, attn):
                processors[name] = IgnoreContext(base)
                continue
            site = ContextAttnProcessor(
                base,
                site=len(self.sites),
                query_dim=attn.query_dim,
                context_dim=self.context_dim,
                heads=attn.heads,
                cells=cells,
            )
            self.sites.append(site)
            processors[name] = site
        if not self.sites:
            raise ValueError(
                "this U-Net has no attention to text, so the context has nowhere to enter: "
                "use CrossAttn blocks in down_block_types and up_block_types"
            )
        self.unet.set_attn_processor(processors)

    @staticmethod
    def _attends_to_text(name: str, attn: nn.Module) -> bool:
        """True for `attn2` of transformer blocks and for added-key attention (DeepFloyd IF)."""
        return name.endswith("attn2.processor") or attn.added_kv_proj_dim is not None

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        text: TextStates,
        context: ContextStates | None = None,
        **unet_inputs: Any,
    ) -> Tensor:
        """Predicts the target of `diffusion.objective` (v, unless the backbone says otherwise).

        Args:
            sample: (B, C, H, W) noisy images (or latents).
            timestep: (B,) or scalar, in the scheduler's steps.
            text: States of the B payload texts.
            context: From `encode_context`; None skips context attention altogether.
            **unet_inputs: Passed on to the wrapped U-Net (`added_cond_kwargs`, …).

        Returns:
            (B, out_channels, H, W).
        """
        if self.space_to_depth > 1:
            sample = pixel_unshuffle(sample, self.space_to_depth)
        predicted = self.unet(
            sample,
            timestep,
            encoder_hidden_states=self._mark(text),
            encoder_attention_mask=text.mask,
            cross_attention_kwargs={"context": context},
            return_dict=False,
            **unet_inputs,
        )[0]
        if self.space_to_depth > 1:
            predicted = pixel_shuffle(predicted, self.space_to_depth)
        return predicted

    def _mark(self, text: TextStates) -> Tensor:
        """Text states with the trainable embedding added where a marker stands: (B, L, D)."""
        return text.states + self.marker_text(text.markers).to(text.states.dtype)

    @apply_forward_hook  # offloading brings the weights in before `forward` only
    def encode_context(
        self, references: ReferenceBatch, grid: tuple[int, int], **unet_inputs: Any
    ) -> ContextStates:
        """Encodes references and projects their keys and values for all sites, once.

        Args:
            references: R references at the places of B samples; R may be 0.
            grid: (H, W) of the samples that will attend to them.
            **unet_inputs: As in `forward`, for the R prompts.

        Returns:
            States for a batch of B.
        """
        batch = references.batch_size
        null = self.null_token.expand(batch, 1, self.context_dim)
        positions = null.new_zeros(1, POSITION_DIM)
        bias = None
        tokens = null
        if references.slots:
            features = self._encode_down(references, **unet_inputs)
            height, width = features.shape[-2:]
            features = self.context_norm(features.flatten(2).transpose(1, 2))
            features = features + self.marker_context(references.markers)[:, None]
            length = height * width
            packed = features.new_zeros(batch, references.slots, length, self.context_dim)
            # Indexing, whose backward adds up in a fixed order; that of index_select does not.
            placed = features[references.reference]
            packed = packed.index_put((references.sample, references.slot), placed)
            tokens = torch.cat([null.to(packed.dtype), packed.flatten(1, 2)], dim=1)
            places = position_features(height, width, features.device)
            positions = torch.cat([positions, places.repeat(references.slots, 1)])
            if len(references.sample) < batch * references.slots:
                absent = torch.full((batch, references.slots), -torch.inf, device=tokens.device)
                absent = absent.index_put(
                    (references.sample, references.slot), absent.new_zeros(())
                )
                bias = torch.cat(
                    [absent.new_zeros(batch, 1), absent.repeat_interleave(length, dim=1)], dim=1
                )[:, None, None]
        projected = [site.project(tokens, positions) for site in self.sites]
        return ContextStates(
            keys=tuple(key for key, _ in projected),
            values=tuple(value for _, value in projected),
            bias=bias,
            query_positions=self._query_positions(grid, tokens.device),
        )

    def reference_weights(self) -> list[nn.Parameter]:
        """The weights that only references use: a batch without any leaves them out."""
        return [*self.context_norm.parameters(), self.marker_context.weight]

    def _query_positions(self, grid: tuple[int, int], device: torch.device) -> dict[int, Tensor]:
        """Position features of each level of the U-Net, by its number of cells."""
        height, width = (side // self.space_to_depth for side in grid)
        found = {}
        for _ in self.unet.config.block_out_channels:
            found[height * width] = position_features(height, width, device)
            height, width = -(-height // 2), -(-width // 2)
        return found

    def _encode_down(self, references: ReferenceBatch, **unet_inputs: Any) -> Tensor:
        """The U-Net's own down-sampling encoder on clean references: (R, context_dim, h, w)."""
        unet = self.unet
        images = references.images
        if self.space_to_depth > 1:
            images = pixel_unshuffle(images, self.space_to_depth)
        if unet.config.center_input_sample:
            images = 2 * images - 1.0
        states = self._mark(references.text)
        steps = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        embedding = unet.time_embedding(unet.get_time_embed(sample=images, timestep=steps))
        added = unet_inputs.get("added_cond_kwargs")
        classes = unet.get_class_embed(sample=images, class_labels=unet_inputs.get("class_labels"))
        if classes is not None:
            embedding = embedding + classes
        augmented = unet.get_aug_embed(
            emb=embedding, encoder_hidden_states=states, added_cond_kwargs=added
        )
        if augmented is not None:
            embedding = embedding + augmented
        if unet.time_embed_act is not None:
            embedding = unet.time_embed_act(embedding)
        states = unet.process_encoder_hidden_states(
            encoder_hidden_states=states, added_cond_kwargs=added
        )
        mask = (1 - references.text.mask.to(states.dtype))[:, None] * -10000.0
        hidden = unet.conv_in(images)
        for block in unet.down_blocks:
            if getattr(block, "has_cross_attention", False):
                hidden, _ = block(
                    hidden_states=hidden,
                    temb=embedding,
                    encoder_hidden_states=states,
                    encoder_attention_mask=mask,
                )
            else:
                hidden, _ = block(hidden_states=hidden, temb=embedding)
        return hidden
