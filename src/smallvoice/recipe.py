"""A recipe: what to do to which corpus with which model. One frozen dataclass per stage.

This file is the only home of a default; `recipe_file` reads, checks and writes it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from smallvoice.recipe_types import (
    STRICT,
    ColumnName,
    Count,
    Language,
    NotNegative,
    Positive,
    Seed,
    Share,
    SplitName,
    rising,
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SplitRecipe:
    """The share of speakers in each split. They need not add up to 1: only their ratios count."""

    train: Share = 0.7
    dev: Share = 0.1
    test: Share = 0.2
    by: Literal["strata", "hash", "folds"] = "strata"
    """`strata`: places by age band and gender, kept in split.json; `hash`: by the speaker's name alone, without a file;
    `folds`: part `fold` (from 1) of `folds` is test, the next one dev."""
    folds: Annotated[int, Field(ge=3)] = 5
    fold: Count = 1


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CorpusRecipe:
    """`prepare`: recordings and transcripts to one corpus."""

    source: str | list[str] = ""
    """A corpus by name (`speechocean762`, `nursery`) or folders; a recipe names a corpus, not a place."""
    select: str | None = None
    """Which rows: a comparison of their columns, such as `age_years < 18 and gender == "f"`."""
    language: Language = None
    """The language of rows that do not say theirs: `en`, `fr`."""
    split: SplitRecipe = Field(default_factory=SplitRecipe)
    format: str | None = None
    """The transcripts' format, where it cannot be recognised: `chat`, `textgrid`, `csv`."""
    tiers: list[str] = Field(default_factory=list)
    """Tiers of TextGrid and ELAN files to read, by name or pattern (`CHI*`); none: all but alignments of phones."""
    chat_text: Literal["spoken", "target"] = "spoken"
    """CHAT: what was said (`(be)cause` is cause), or what was meant (because; retracings left out)."""
    columns: dict[str, ColumnName] = Field(default_factory=dict)
    """Tables: what their columns hold, where it cannot be guessed: `{text: Sentence, start: ""}` (none)."""
    audio: list[str] = Field(default_factory=list)
    """Folders where a Kaldi folder's audio may lie besides its own: nothing else outside the sources is read."""
    speakers: str | None = None
    """A table of speakers (CSV: name, age_years, gender, role), for what the transcripts do not say."""
    pattern: str | None = None
    """What the folders of a recording say: `{split}/{speaker}/{session}`."""
    roles: list[Literal["child", "adult", "unknown"]] = Field(default_factory=list)
    """Whose segments are kept; none: everybody's."""
    text_rules: str | None = None
    """A file of rules (YAML) that turn the transcribers' markup into words."""
    join_s: Annotated[float, Field(ge=0, le=30)] = 0.0
    """Join one speaker's neighbouring segments up to this length; 0: do not."""
    join_pause_s: NotNegative = 1.0
    """The longest pause inside joined segments."""
    margin_s: NotNegative = 0.1
    """Audio kept on either side of a segment cut from a long recording, never into a neighbour."""
    max_segment_s: Annotated[float, Field(gt=0, le=30)] = 30.0
    """Whisper hears 30 seconds: a longer segment is split where its words are timed, else a ledger row."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelRecipe:
    """The base model, and the parameters that training may move."""

    base: str = "openai/whisper-base"
    """A name, a Hugging Face folder, or a CTranslate2 folder."""
    strategy: Literal["lora", "rslora", "dora", "pissa", "adalora", "bottleneck", "selective", "full"] = "lora"
    """What moves: low-rank adapters of five kinds, bottleneck adapters, chosen weights of the model, or all of it."""
    part: Literal["auto", "both", "encoder", "decoder", "hearing"] = "auto"
    """What of the model may move. `hearing`: the encoder, and the decoder's attention to it; what the decoder knows of
    language stays. `auto`: `hearing` for adapters, `both` for `selective` and `full`."""
    layers: list[str] = Field(default_factory=list)
    """Only modules with these in their name, by pattern (`encoder.layers.[45].*`); none: wherever the targets are."""
    rank: Count = 16
    """Of the low-rank adapters; AdaLoRA ends with it on average."""
    alpha: Positive = 32.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of what an adapter hears. A quarter of the time of a step on a CPU, for nothing that was seen in the scores."""
    targets: list[str] = Field(default_factory=lambda: ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"])
    """The linear layers that get an adapter, by the last part of their name."""
    initial_rank: Count | None = None
    """AdaLoRA: the rank that it begins with; 1.5 × `rank` if not given."""
    bottleneck: Count = 64
    """Bottleneck adapters: their inner size."""
    top_encoder_layers: Annotated[int, Field(ge=0)] = 0
    """`selective`: so many of the encoder's last layers move."""
    top_decoder_layers: Annotated[int, Field(ge=0)] = 0
    norms: bool = False
    """`selective`: the layer norms move."""
    biases: bool = False
    """`selective`: the biases move."""
    save_rank: Count | None = None
    """`selective` and `full`: what linear layers learned is kept as a low-rank adapter of this rank, a small file, with
    the convolutions whole, and the rest left out; none: the whole model is kept."""
    quantize: Literal["none", "8bit", "4bit"] = "none"
    """Hold the frozen base in fewer bits; on CUDA only."""

    @property
    def usual_rate(self) -> float:
        """The learning rate: 3e-5 where matrices of the base move, 3e-4 for PiSSA, which splits them; else 1e-3."""
        layers = self.top_encoder_layers or self.top_decoder_layers or (self.layers and not (self.norms or self.biases))
        if self.strategy == "full" or (self.strategy == "selective" and layers):
            return 3e-5
        return 3e-4 if self.strategy == "pissa" else 1e-3


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WindowRecipe:
    """What the tuned model's encoder hears: `trim`, the audio and a margin; `full`, Whisper's 30 seconds; `mixed`,
    trimmed with a small share of full windows; `packed`, one speaker's utterances joined up to 30 seconds."""

    kind: Literal["trim", "full", "mixed", "packed"] = "trim"
    margin_s: Annotated[float, Field(ge=0.02)] = 0.2
    """Silence after the audio. At least 0.02: the last frame of the window must not see the audio's end."""
    step_s: Annotated[float, Field(ge=0.02)] = 0.3
    """Windows are multiples of this, so that few shapes occur."""
    full_share: Share = 0.03
    """`mixed`: the share of training utterances heard at the full window; each costs about nine trimmed ones."""
    timestamps: bool = False
    """`packed`: the text says when each utterance begins and ends."""
    previous_text: bool = False
    """`packed`: what the speaker said before is given as prompt."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AugmentRecipe:
    """Changes to the training audio, drawn anew for each epoch and utterance. 0 switches one off."""

    speed: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Played faster or slower by up to this share, pitch and formants with it (Ko et al., 2015)."""
    tempo: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Spoken faster or slower by up to this share, pitch and formants as they are."""
    pitch: Annotated[float, Field(ge=0, le=12)] = 0.0
    """Higher or lower by up to so many semitones, formants and tempo as they are."""
    vocal_tract: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Formants moved up or down by up to this share, pitch and tempo kept (VTLP, Jaitly & Hinton, 2013)."""
    volume_db: NotNegative = 0.0
    """Louder or softer by up to so many decibels."""
    noise: Share = 0.0
    """The share of utterances that get noise."""
    noise_snr_db: list[float] = Field(default_factory=lambda: [5.0, 25.0], min_length=2, max_length=2)
    """How far the speech is above the noise: least and most."""
    noise_folder: str | None = None
    """Recordings; none: synthesised."""
    room: Share = 0.0
    """The share of utterances that are heard in a room."""
    room_folder: str | None = None
    """Recorded room responses; none: synthesised."""
    tail: Share = 0.0
    """The share of utterances followed by up to `tail_s` of silence."""
    tail_s: NotNegative = 5.0
    silence: Share = 0.0
    """So many clips without speech, and with empty text, for each utterance: against hallucination."""
    time_masks: Annotated[int, Field(ge=0)] = 0
    """SpecAugment (Park et al., 2019): stretches of time that are blanked, each of up to `time_mask_share`."""
    time_mask_share: Share = 0.08
    mel_masks: Annotated[int, Field(ge=0)] = 0
    """SpecAugment: bands of mel filters that are blanked, each of up to `mel_mask_share` of them."""
    mel_mask_share: Share = 0.2


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MixRecipe:
    """A part of the training data, and how often it is heard."""

    select: str
    """Which rows: `role == "child"`, `source == "adults"`."""
    weight: Positive = 1.0
    """How often an epoch hears each of them on average; 0.25: a quarter of them, drawn anew each epoch."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PreserveRecipe:
    """Speech that the tuned model is to hear as the base does, as far as what was learned needs no other weights."""

    select: str
    """Which rows of the training data: `age_years >= 18`. They may be trained on too."""
    weight: Positive = 0.1
    """How much they count, against the rest of what is trained on."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainRecipe:
    """`train`: the loop."""

    epochs: Count = 5
    batch_size: Count = 8
    """Utterances encoded at once. They share one window, so a batch may hold fewer."""
    batch_seconds: Positive | None = None
    """Seconds of window encoded at once, instead of `batch_size`: short utterances make larger batches."""
    accumulate: Count = 1
    """A step of the optimiser has at least `batch_size × accumulate` utterances, over all processes."""
    members: Count = 1
    """Adapters trained one after the other from different seeds; the result is the average of what they do."""
    preserve: PreserveRecipe | None = None
    """Speech that is not to be forgotten: after training the base's weights come back where its inputs go."""
    interpolate: Annotated[float, Field(gt=0, le=1)] = 1.0
    """How far from the base to what was trained the result lies (WiSE-FT, Wortsman et al., 2022): below 1 the model
    forgets less of other speech."""
    spectrum_power: Annotated[float, Field(gt=0, le=1)] = 1.0
    """To what power the singular values of each weight's change are raised, its size kept: below 1 it forgets less."""
    mix: list[MixRecipe] = Field(default_factory=list)
    """Parts of the training data with weights; rows of none are not heard. None: every row once an epoch."""
    balance: Literal["none", "speaker", "age", "source"] = "none"
    """Hear each of these equally often: who has fewer utterances is heard again."""
    select_dev: str | None = None
    """Which rows of dev choose the checkpoint; none: all."""
    learning_rate: Positive | None = None  # the strategy's: `ModelRecipe.usual_rate`
    lora_plus: Positive = 1.0
    """LoRA+ (Hayou et al., 2024): how many times faster B learns than A."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Share = 0.1
    """Share of all steps during which the learning rate rises."""
    weight_decay: NotNegative = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    consistency: NotNegative = 0.0
    """Each utterance is heard twice at once, with formants and masks drawn anew, and both are to be written alike: the
    weight of that against what was said (Yao et al., 2025, CR-CTC). A step takes twice as long; 0: heard once."""
    clip_norm: Positive = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of a running average of the weights, which is then what is decoded and kept; 0: none."""
    patience: Count | None = None
    """Stop after so many evaluations without a better dev score."""
    gradient_checkpointing: bool = False
    """Compute activations again instead of keeping them: less memory, about a third more time."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: bfloat16 where the GPU or the CPU has instructions for it, else float32."""
    text_style: Literal["auto", "corpus", "lower", "whisper"] = "auto"
    """The text that the model learns to write. `auto`: for text in one case without punctuation `whisper`, a sentence
    as Whisper writes it (English), or `lower` (other languages); for other text `corpus`."""
    max_steps: Count | None = None
    """Stop after so many steps, whatever `epochs` says."""
    max_memory_gb: Positive | None = None
    """CPU: the micro-batch is made small enough for this; none: for half of what is free."""
    evaluations: Count = 4
    """How often dev is decoded, evenly through the run; the last is at the end."""
    checkpoint_every: Count = 25
    """Steps between checkpoints from which a run that was cut off continues."""
    seed: Seed = 0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DecodeRecipe:
    """`evaluate`: how hypotheses are made, for the base and the tuned model alike."""

    batch_size: Count = 32
    """At most: of long windows a batch holds fewer."""
    beams: Count = 1
    """Hypotheses followed at once; 1: greedy."""
    tokens_per_s: Positive = 10.0
    """The cap on new tokens: `tokens_base + tokens_per_s × duration`; where a language needs more, up to 8 times it."""
    tokens_base: Count = 24
    output_style: Literal["auto", "model", "corpus"] = "auto"
    """`corpus`: give the tuned model's text the corpus's case and digits. `auto`: where training changed them."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RetentionRecipe:
    """Speech of another kind, which fine-tuning must not break: adults, another corpus."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    source: str | list[str]
    """A corpus by name, or folders."""
    select: str | None = None
    """Which rows; nobody of them may have been trained on."""
    language: Language = None
    text_rules: str | None = None
    """A file of rules (YAML) that turn the transcribers' markup into words."""


def _named_apart(sets: list[RetentionRecipe]) -> list[RetentionRecipe]:
    if len({one.name for one in sets}) < len(sets):
        raise ValueError("two sets have one name; each needs its own")
    return sets


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EvaluateRecipe:
    """What is scored, and how sure one can be."""

    split: SplitName = "test"
    select: str | None = None
    """Which rows of the split; none: all. Training may hear adults too where children are what counts."""
    retention: Annotated[list[RetentionRecipe], AfterValidator(_named_apart)] = Field(default_factory=list)
    """Sets that both models decode too, before the verdict."""
    retention_margin: NotNegative = 0.01
    """So much normalised WER may be lost there: 0.01 is one point."""
    age_bands: Annotated[list[Count], AfterValidator(rising)] = Field(
        default_factory=lambda: [5, 8, 11, 14, 18], min_length=1
    )
    """The birthdays at which a band of ages begins: below the first one band, from 18 on `adults`."""
    min_speakers: Count = 5
    """Groups of fewer speakers are shown, and not compared."""
    columns: list[str] = Field(default_factory=list)
    """Columns of the corpus's `extra` by which scores are grouped too: a task, an accent. The hypotheses keep them."""
    resamples: Count = 10_000
    """Bootstrap resamples over speakers."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    seed: Seed = 0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """Everything that a run needs to be repeated."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "run"
    corpus: CorpusRecipe = Field(default_factory=CorpusRecipe)
    model: ModelRecipe = Field(default_factory=ModelRecipe)
    window: WindowRecipe = Field(default_factory=WindowRecipe)
    augment: AugmentRecipe = Field(default_factory=AugmentRecipe)
    train: TrainRecipe = Field(default_factory=TrainRecipe)
    decode: DecodeRecipe = Field(default_factory=DecodeRecipe)
    evaluate: EvaluateRecipe = Field(default_factory=EvaluateRecipe)

    def __post_init__(self) -> None:
        if self.train.learning_rate is None:
            object.__setattr__(self, "train", replace(self.train, learning_rate=self.model.usual_rate))
