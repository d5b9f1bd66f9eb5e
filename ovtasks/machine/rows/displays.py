"""Rows of graphics, video, sound and input."""

from __future__ import annotations

from ovtasks.machine.field import Block, Field, Items, Only
from ovtasks.machine.kinds import HOST_NAME, LINE, ON_OFF, PATH, PORT, POSITIVE, TEXT, YES_NO, number, one_of, text

AUDIO_ID = number(1, 255)
SPICE: Only = {"type": ("spice",)}
VNC: Only = {"type": ("vnc",)}
SERVERS: Only = {"type": ("spice", "vnc", "rdp")}
BOTH: Only = {"type": ("spice", "vnc")}
_KEYMAP = text(r"^[a-z0-9-]+$", "a keymap such as de", "is no keymap such as de", ("de", "en-us"), ("D E", ""))

LISTEN = Items(
    Block(
        "listen",
        "Where it is reached: an address, or one of these, or a list; an empty text: nowhere. Default: 127.0.0.1.",
        {
            "type": Field(one_of("address", "network", "socket", "none"), "@type", "Default: by what else is given."),
            "address": Field(HOST_NAME, "@address", "The host's address.", only={"type": ("address",)}),
            "network": Field(LINE, "@network", "libvirt's network.", only={"type": ("network",)}),
            "socket": Field(
                PATH, "@socket", "A Unix socket; default: one that libvirt chooses.", only={"type": ("socket",)}
            ),
        },
        only=SERVERS,
    ),
    short="address",
)

GRAPHICS = Items(
    Block(
        "graphics",
        "Displays for people.",
        {
            "type": Field(
                one_of("spice", "vnc", "rdp", "sdl", "dbus", "egl-headless"),
                "@type",
                "What is spoken.",
                required=True,
                since_values={"rdp": (11, 1)},
            ),
            "port": Field(PORT, "@port", "The port; default: one that libvirt chooses.", only=SERVERS),
            "tls_port": Field(PORT, "@tlsPort", "The port for TLS.", only=SPICE),
            "autoport": Field(YES_NO, "@autoport", "libvirt chooses the port; default yes without port.", only=SERVERS),
            "websocket": Field(PORT, "@websocket", "VNC over WebSocket at this port.", only=VNC),
            "passwd": Field(
                text(r"^[^\x00-\x1f]+$", "a text", "is not one line of text", ("secret",), ("", "a\nb")),
                "@passwd",
                "A password of at most 8 bytes for VNC, 60 for SPICE.",
                only=BOTH,
            ),
            "keymap": Field(_KEYMAP, "@keymap", "The keyboard's layout.", only=BOTH),
            "share_policy": Field(
                one_of("allow-exclusive", "force-shared", "ignore"), "@sharePolicy", "Several at once.", only=VNC
            ),
            "default_mode": Field(
                one_of("any", "secure", "insecure"), "@defaultMode", "Whether channels are encrypted.", only=SPICE
            ),
            "p2p": Field(YES_NO, "@p2p", "No message bus: connections by libvirt.", only={"type": ("dbus",)}),
            "display": Field(TEXT, "@display", "The X display.", only={"type": ("sdl",)}),
            "xauth": Field(PATH, "@xauth", "The X authority file.", only={"type": ("sdl",)}),
            "fullscreen": Field(YES_NO, "@fullscreen", "The whole screen.", only={"type": ("sdl",)}),
            "listen": LISTEN,
            "image": Field(
                one_of("auto_glz", "auto_lz", "quic", "glz", "lz", "off"), "image@compression", "Images.", only=SPICE
            ),
            "jpeg": Field(one_of("auto", "never", "always"), "jpeg@compression", "Images over slow links.", only=SPICE),
            "zlib": Field(one_of("auto", "never", "always"), "zlib@compression", "Over slow links.", only=SPICE),
            "playback": Field(ON_OFF, "playback@compression", "Sound.", only=SPICE),
            "streaming": Field(one_of("filter", "all", "off"), "streaming@mode", "Moving pictures.", only=SPICE),
            "clipboard": Field(YES_NO, "clipboard@copypaste", "Share the clipboard.", only=SPICE),
            "mouse": Field(one_of("server", "client"), "mouse@mode", "Whose mouse.", only=SPICE),
            "filetransfer": Field(YES_NO, "filetransfer@enable", "Files by drag and drop.", only=SPICE),
            "gl": Field(
                YES_NO,
                "gl@enable",
                "OpenGL in the host.",
                only={"type": ("spice", "sdl", "dbus")},
            ),
            "rendernode": Field(
                PATH,
                "gl@rendernode",
                "The host's device for it.",
                only={"type": ("spice", "dbus", "egl-headless")},
            ),
            "audio": Field(
                AUDIO_ID, "audio@id", "The audio backend (id of audio) that it plays.", only={"type": ("vnc", "dbus")}
            ),
        },
    )
)

FRAMEBUFFER = one_of(*(str(1 << exponent) for exponent in range(10, 20)))  # QEMU wants a power of two, whole MiB
QXL: Only = {"model": ("qxl",)}
VIDEO = Items(
    Block(
        "video",
        "Video cards.",
        {
            "model": Field(
                one_of("virtio", "vga", "cirrus", "qxl", "bochs", "ramfb", "none"),
                "model@type",
                "The card.",
                required=True,
            ),
            "ram": Field(POSITIVE, "model@ram", "Its primary memory in KiB.", only=QXL),
            "vram": Field(POSITIVE, "model@vram", "Its memory in KiB."),
            "vram64": Field(number(1024), "model@vram64", "Its secondary memory in KiB.", only=QXL),
            "vgamem": Field(FRAMEBUFFER, "model@vgamem", "Its VGA framebuffer in KiB.", only=QXL),
            "heads": Field(POSITIVE, "model@heads", "Screens."),
            "primary": Field(YES_NO, "model@primary", "The one that the firmware uses; default: the first."),
            "accel3d": Field(YES_NO, "model/acceleration@accel3d", "3D acceleration."),
            "resolution": Block(
                "model/resolution",
                "The first resolution.",
                {
                    "x": Field(POSITIVE, "@x", "Width.", required=True),
                    "y": Field(POSITIVE, "@y", "Height.", required=True),
                },
            ),
        },
    )
)

AUDIO_TYPES = ("none", "spice", "oss", "pulseaudio", "alsa", "coreaudio", "file", "jack", "sdl", "dbus", "pipewire")
AUDIO = Items(
    Block(
        "audio",
        "Where sound goes on the host.",
        {
            "id": Field(AUDIO_ID, "@id", "Its number, which sound and graphics name; default: counted from 1."),
            "type": Field(
                one_of(*AUDIO_TYPES, other={"pulse": "pulseaudio"}),
                "@type",
                "How it is played.",
                default="none",
                since_values={"pipewire": (9, 8)},
            ),
            "timer_period": Field(POSITIVE, "@timerPeriod", "Period of its timer in µs."),
            "server_name": Field(TEXT, "@serverName", "The sound server.", only={"type": ("pulseaudio", "pulse")}),
            "path": Field(PATH, "@path", "A WAV file.", only={"type": ("file",)}),
            "driver": Field(
                one_of("esd", "alsa", "arts", "pulseaudio"), "@driver", "SDL's driver.", only={"type": ("sdl",)}
            ),
        },
    )
)

SOUND = Items(
    Block(
        "sound",
        "Sound cards.",
        {
            "model": Field(
                one_of("ac97", "ich6", "ich7", "ich9", "usb", "virtio", "es1370"),
                "@model",
                "The card.",
                required=True,
                since_values={"virtio": (10, 4)},
            ),
            "codecs": Items(
                Block(
                    "codec",
                    "Its codecs.",
                    {"type": Field(one_of("duplex", "micro", "output"), "@type", "What it can do.", required=True)},
                    only={"model": ("ich6", "ich7", "ich9")},
                )
            ),
            "audio": Field(AUDIO_ID, "audio@id", "The audio backend (id of audio) that it plays on."),
        },
    )
)

_EVDEV: Only = {"type": ("evdev",)}
INPUTS = Items(
    Block(
        "input",
        "Keyboards and pointers.",
        {
            "type": Field(
                one_of("tablet", "mouse", "keyboard", "passthrough", "evdev"), "@type", "What it is.", required=True
            ),
            "bus": Field(
                one_of("ps2", "usb", "virtio"),
                "@bus",
                "What it hangs on.",
                only={"type": ("tablet", "mouse", "keyboard", "passthrough")},
            ),
            "model": Field(one_of("virtio"), "@model", "Of a virtio one.", only={"bus": ("virtio",)}),
            "source": Block(
                "source",
                "The host's device.",
                {
                    "evdev": Field(PATH, "@evdev", "Path, with type passthrough.", only={"type": ("passthrough",)}),
                    "dev": Field(PATH, "@dev", "Path, with type evdev.", only=_EVDEV),
                    "grab": Field(one_of("all"), "@grab", "All devices at once.", only=_EVDEV),
                    "grab_toggle": Field(
                        one_of(*("ctrl-ctrl", "alt-alt", "shift-shift", "meta-meta", "scrolllock", "ctrl-scrolllock")),
                        "@grabToggle",
                        "The keys that change sides.",
                        only=_EVDEV,
                    ),
                    "repeat": Field(ON_OFF, "@repeat", "Keys repeat.", only=_EVDEV),
                },
            ),
        },
    )
)
