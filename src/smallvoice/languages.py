"""Languages as Whisper calls them: transcripts have ISO 639-3 (`eng`), regions (`en-US`), names, or its own codes."""

from __future__ import annotations

# ISO 639-3 (and the older 639-2/B), as CHAT has them, in the codes that Whisper has. Others stay as they are.
_LANGUAGE_TABLE = """
    afr=af alb=sq amh=am ara=ar arb=ar arm=hy ary=ar arz=ar asm=as aze=az bak=ba baq=eu bel=be ben=bn bod=bo bos=bs
    bre=br bul=bg bur=my cat=ca ces=cs chi=zh cmn=zh cym=cy cze=cs dan=da deu=de dut=nl ell=el eng=en est=et eus=eu
    fao=fo fas=fa fil=tl fin=fi fra=fr fre=fr geo=ka ger=de glg=gl gre=el guj=gu hat=ht hau=ha haw=haw heb=he hin=hi
    hrv=hr hun=hu hye=hy ice=is ind=id isl=is ita=it jav=jw jpn=ja kan=kn kat=ka kaz=kk khm=km kor=ko lao=lo lat=la
    lav=lv lin=ln lit=lt ltz=lb mac=mk mal=ml mao=mi mar=mr may=ms mkd=mk mlg=mg mlt=mt mon=mn mri=mi msa=ms mya=my
    nep=ne nld=nl nno=nn nob=no nor=no oci=oc pan=pa per=fa pol=pl por=pt prs=fa pus=ps ron=ro rum=ro rus=ru san=sa
    sin=si slk=sk slo=sk slv=sl sna=sn snd=sd som=so spa=es sqi=sq srp=sr sun=su swa=sw swe=sv swh=sw tam=ta tat=tt
    tel=te tgk=tg tgl=tl tha=th tib=bo tuk=tk tur=tr ukr=uk urd=ur uzb=uz vie=vi wel=cy yid=yi yor=yo yue=yue zho=zh
    zsm=ms
"""
# Of 639-1 those that Whisper calls otherwise, and two that were renamed.
_SHORT_TABLE = "iw=he in=id jv=jw nb=no"
# Names: all that Whisper has, and three more.
_NAME_TABLE = """
    afrikaans=af albanian=sq amharic=am arabic=ar armenian=hy assamese=as azerbaijani=az bashkir=ba basque=eu
    belarusian=be bengali=bn bokmål=no bosnian=bs breton=br bulgarian=bg burmese=my cantonese=yue castilian=es
    catalan=ca chinese=zh croatian=hr czech=cs danish=da dutch=nl english=en estonian=et faroese=fo farsi=fa
    filipino=tl finnish=fi flemish=nl french=fr galician=gl georgian=ka german=de greek=el gujarati=gu haitian=ht
    hausa=ha hawaiian=haw hebrew=he hindi=hi hungarian=hu icelandic=is indonesian=id italian=it japanese=ja
    javanese=jw kannada=kn kazakh=kk khmer=km korean=ko lao=lo latin=la latvian=lv letzeburgesch=lb lingala=ln
    lithuanian=lt luxembourgish=lb macedonian=mk malagasy=mg malay=ms malayalam=ml maltese=mt mandarin=zh maori=mi
    marathi=mr moldavian=ro moldovan=ro mongolian=mn myanmar=my nepali=ne norwegian=no nynorsk=nn occitan=oc
    panjabi=pa pashto=ps persian=fa polish=pl portuguese=pt punjabi=pa pushto=ps romanian=ro russian=ru sanskrit=sa
    serbian=sr shona=sn sindhi=sd sinhala=si sinhalese=si slovak=sk slovenian=sl somali=so spanish=es sundanese=su
    swahili=sw swedish=sv tagalog=tl tajik=tg tamil=ta tatar=tt telugu=te thai=th tibetan=bo turkish=tr turkmen=tk
    ukrainian=uk urdu=ur uzbek=uz valencian=ca vietnamese=vi welsh=cy yiddish=yi yoruba=yo
"""
_LANGUAGES = dict(pair.split("=") for pair in f"{_LANGUAGE_TABLE} {_SHORT_TABLE} {_NAME_TABLE}".split())
_LANGUAGES |= {"haitian creole": "ht"}
WHISPERS = frozenset(_LANGUAGES.values())
"""The languages that Whisper has, Cantonese among them, which only large-v3 knows."""


def language_code(text: str) -> str:
    """A language as Whisper calls it: `EN_us`, `eng`, `English` are `en`; what is not known only loses its region."""
    code = text.strip().lower().replace("_", "-").partition("-")[0]
    return _LANGUAGES.get(code, code)


# What Whisper's vocabulary was made of most, and what it knows little more of than the bytes. The first article of
# the Universal Declaration of Human Rights has 37 tokens in English, 49 in Russian, 180 to 200 in Armenian, Hindi and
# Tamil, 293 in Telugu, 333 in Bengali, 425 in Georgian.
_KNOWN_TABLE = "ca da de en es fr id it ja ko ms nl nn no pl pt ro ru sv tr yue zh"
_BYTES_TABLE = "am as bn bo gu ka km kn lo ml my pa si te"
_KNOWN_BEST, _AS_BYTES = frozenset(_KNOWN_TABLE.split()), frozenset(_BYTES_TABLE.split())


def tokens_beside_english(language: str | None) -> float:
    """How many times as many tokens as in English may be needed to write as long a piece of speech; None is English."""
    if language is None or language in _KNOWN_BEST:
        return 1.0
    return 8.0 if language in _AS_BYTES else 3.0
