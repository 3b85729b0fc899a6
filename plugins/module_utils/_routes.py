# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""Where the model requests of one ``openclaw.json`` go. Pure: a value in, routes out.

Measured on OpenClaw 2026.9.6. What is set decides, not what would work today: a fallback that lacks its key is a
way around the proxy as soon as somebody adds the key.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Union
from urllib.parse import urlsplit

from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_path, _redact
from ansible_collections.failclosed.openclaw.plugins.module_utils._route_map import (
    BY_ID,
    CLAUDE_PROVIDERS,
    CLAUDE_RESELLERS,
    CODE,
    CREDENTIAL_VARIABLES,
    ENDPOINT,
    LOCAL_VENDORS,
    MODEL,
    OFF,
    OTHER_VENDORS,
    OWN_RUNTIMES,
    PIN,
    REMOVE,
    ROUTES,
    RUNTIME,
    SWITCH,
    VENDOR,
    Route,
)

Path = tuple[Union[str, int], ...]

PROXY = "proxy"
OTHER = "other"
BYPASS = "bypass"
UNKNOWN = "unknown"
_WORST = (PROXY, OTHER, UNKNOWN, BYPASS)

_CLAUDE = re.compile(r"claude|anthropic", re.IGNORECASE)
_OTHER_MODEL = re.compile(
    r"(?:^|[/.:_-])(?:gpt|chatgpt|o[1-9]|codex|gemini|gemma|grok|llama|mistral|mixtral|codestral|qwen|deepseek|kimi|glm"
    r"|minimax|phi|nova|titan|command|whisper|dall-e|sora|veo|imagen|flux|tts|text-embedding)",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"\$\{[A-Z_][A-Z0-9_]*\}")
# model, models, modelId, defaultModel, fallbackModels, modelFallback, and not modelCacheDir or modelPolicy.
_MODEL_KEY = re.compile(
    r"^models?$|^model_?(?:id|name|ref|fallbacks?)$|(?:[a-z_-]Models?|_models?)$|^(?:vision|default)_?model$"
)
_PROVIDER_KEY = re.compile(r"provider$", re.IGNORECASE)
_ADDRESS_KEY = re.compile(r"(?:base_?url|endpoint|url)$", re.IGNORECASE)
_CLAUDE_AMONG_OTHERS = "which serves Claude among others"
_DIRECT_HOSTS = ("anthropic.com", "claude.ai", "claude.com")
_OTHER_HOSTS = (
    "deepgram.com",
    "deepseek.com",
    "elevenlabs.io",
    "generativelanguage.googleapis.com",
    "groq.com",
    "mistral.ai",
    "openai.com",
    "voyageai.com",
    "x.ai",
)
_RESELLER_HOSTS = ("openrouter.ai", "amazonaws.com", "githubcopilot.com", "googleapis.com", "azure.com")
_CREDENTIAL_NAME = re.compile(r"\$\{(ANTHROPIC_[A-Z_]*|CLAUDE_[A-Z_]*)\}")
_DIRECT_KEY = re.compile(r"\bsk-ant-[A-Za-z0-9_-]+")


class Edit(NamedTuple):
    """A change that closes a route. ``value`` None removes what is at the path."""

    path: Path
    value: Any


class Hit(NamedTuple):
    """A route that is open, or of which nobody can tell.

    ``id``: of the route map. ``path``: where, for people and exceptions; never a secret. ``detail``: one line.
    ``edits``: what closes it in ``openclaw.json``. ``by_default``: whether that is done without being asked for.
    """

    id: str
    path: str
    resolves_to: str
    detail: str
    edits: tuple[Edit, ...] = ()
    by_default: bool = False


def matches(pattern: str, tree: Any) -> Iterator[tuple[Path, Any]]:
    """Every place of a tree that fits a pattern of the route map, with its value."""

    def walk(parts: tuple[str, ...], node: Any, path: Path) -> Iterator[tuple[Path, Any]]:
        if not parts:
            yield path, node
            return
        part, rest = parts[0], parts[1:]
        if part == "[]":
            if isinstance(node, list):
                for index, member in enumerate(node):
                    yield from walk(rest, member, (*path, index))
        elif isinstance(node, Mapping):
            if part == "*":
                for key, member in node.items():
                    yield from walk(rest, member, (*path, key))
            elif part in node:
                yield from walk(rest, node[part], (*path, part))

    return walk(tuple(pattern.replace("[]", ".[]").split(".")), tree, ())


def shown(path: Path) -> str:
    """A path in OpenClaw's notation, without what has the shape of a secret."""
    return _redact.scrub(_config_path.format(path))


def named(text: Any) -> str:
    """A model reference, name or address as a finding may show it: without credentials, and not endless."""
    scrubbed = _redact.scrub(str(text))
    return scrubbed if len(scrubbed) <= 120 else f"{scrubbed[:117]}..."


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


class Address(NamedTuple):
    """Host (lower case, without brackets) and port of an address."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        # Other names below .localhost are what a name server makes of them.
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def address_of(url: Any) -> Address | None:
    """Host and port of an http or https address; None when it is none, or when parsers may differ about it.

    Node reads addresses by the URL standard of the WHATWG, which takes a backslash for a slash and drops white space.
    """
    if not isinstance(url, str) or not url.isprintable() or any(each in url for each in "\\@${} "):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
        return None
    default = 443 if parts.scheme in ("https", "wss") else 80
    return Address(parts.hostname.lower().rstrip("."), port or default)


def _is_below(host: str, domains: tuple[str, ...]) -> bool:
    return any(host == domain or host.endswith("." + domain) for domain in domains)


class Routes:
    """The routes of one configuration.

    ``config``: the value of ``openclaw.json`` with includes resolved. ``provider``: the id of the proxy's provider.
    ``base_url``: where the proxy is; None accepts any address of this machine's loopback.
    """

    def __init__(self, config: Any, *, provider: str, base_url: str | None = None) -> None:
        self.config: Mapping[str, Any] = _object(config)
        self.provider = provider
        self.proxy = address_of(base_url) if base_url else None
        self.providers = _object(_object(self.config.get("models")).get("providers"))
        self.defaults = _object(_object(self.config.get("agents")).get("defaults"))
        self.aliases = self._aliases()
        self.default_model = self._default_model()

    # What a reference leads to

    def _aliases(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for pattern in BY_ID["alias"].paths:
            for path, alias in matches(pattern, self.config):
                if isinstance(alias, str) and isinstance(path[-2], str):
                    found.setdefault(alias.strip().lower(), path[-2])
        return found

    def _default_model(self) -> str:
        """The reference to pin other routes to: the default model if it is the proxy's, else its first model."""
        model = self.defaults.get("model")
        primary = _object(model).get("primary") if isinstance(model, Mapping) else model
        if isinstance(primary, str) and self.resolve(primary)[0] == PROXY and "/" in primary:
            return primary
        for each in _list(_object(self.providers.get(self.provider)).get("models")):
            identifier = _object(each).get("id")
            if isinstance(identifier, str) and identifier:
                return f"{self.provider}/{identifier}"
        return ""

    def is_proxy(self, url: Any) -> bool:
        """Whether an address is the proxy's."""
        address = address_of(url)
        if address is None:
            return False
        if self.proxy is None:
            return address.is_loopback
        same_host = address.host == self.proxy.host or (address.is_loopback and self.proxy.is_loopback)
        return same_host and address.port == self.proxy.port

    def resolve(self, reference: Any, *, depth: int = 0) -> tuple[str, str]:
        """What a model reference leads to: one of the four words, and the reason in a few words."""
        if not isinstance(reference, str) or not reference.strip():
            return UNKNOWN, "is no model reference"
        text = reference.strip()
        if _VARIABLE.search(text):
            return UNKNOWN, f"{named(text)} takes its value from the environment"
        provider, slash, model = text.partition("/")
        if not slash:
            target = self.aliases.get(text.lower())
            if target is not None and depth < 4:
                resolved, _why = self.resolve(target, depth=depth + 1)
                return resolved, f"{named(text)} is an alias of {named(target)}"
            if _CLAUDE.search(text):
                return BYPASS, f"{named(text)} names no provider, and OpenClaw takes anthropic for it"
            if _OTHER_MODEL.search(text):
                return OTHER, f"{named(text)} names no provider and is no Claude model"
            return UNKNOWN, f"{named(text)} names no provider"
        return self.resolve_provider(provider.strip(), model)

    def resolve_provider(self, provider: str, model: str = "") -> tuple[str, str]:
        """What a provider, and a model of it, leads to."""
        name = provider.lower()
        whole = named(f"{provider}/{model}" if model else provider)
        if provider == self.provider:
            return PROXY, f"{whole} is the proxy's"
        definition = self.providers.get(provider)
        if isinstance(definition, Mapping) and definition.get("baseUrl"):
            if self.is_proxy(definition["baseUrl"]):
                return PROXY, f"{whole} has the proxy's address"
            address = address_of(definition["baseUrl"])
            if address is None:
                return UNKNOWN, f"{whole} has an address of which nobody can tell where it leads"
            if _is_below(address.host, _DIRECT_HOSTS):
                return BYPASS, f"{whole} goes to {address.host}"
            if _is_below(address.host, _RESELLER_HOSTS) and not _OTHER_MODEL.search(model):
                return UNKNOWN, f"{whole} goes to {address.host}, which serves Claude among others"
        if name in CLAUDE_PROVIDERS:
            return BYPASS, f"{whole} is Anthropic's own"
        if _CLAUDE.search(model):
            return BYPASS, f"{whole} is a Claude model of another provider"
        if name in OTHER_VENDORS:
            return OTHER, f"{whole} is another vendor's"
        if name in CLAUDE_RESELLERS and _OTHER_MODEL.search(model):
            return OTHER, f"{whole} is another vendor's model"
        if name in CLAUDE_RESELLERS:
            return UNKNOWN if model else BYPASS, f"{whole}: this provider serves Claude among others"
        return UNKNOWN, f"{whole} is a provider that this collection does not know"

    def resolve_endpoint(self, url: Any) -> tuple[str, str]:
        """What an address to which content is sent leads to."""
        if isinstance(url, str) and _VARIABLE.search(url):
            return UNKNOWN, "takes its address from the environment"
        if self.is_proxy(url):
            return PROXY, "is the proxy"
        address = address_of(url)
        if address is None:
            return UNKNOWN, "is no address"
        if _is_below(address.host, _DIRECT_HOSTS):
            return BYPASS, f"goes to {address.host}"
        if _is_below(address.host, _OTHER_HOSTS):
            return OTHER, f"goes to {address.host}"
        if _is_below(address.host, _RESELLER_HOSTS):
            return UNKNOWN, f"goes to {address.host}, {_CLAUDE_AMONG_OTHERS}"
        return UNKNOWN, f"goes to {named(address.host)}"

    # The walk

    def hits(self, *, credentials: bool = False) -> Iterator[Hit]:
        """Every route that does not lead to the proxy.

        ``credentials``: whether a credential for another way was found anywhere; it opens what OpenClaw then chooses
        by itself.
        """
        for route in ROUTES:
            for pattern in route.paths:
                if route.kind == MODEL:
                    for path, value in matches(pattern, self.config):
                        yield from self._model(route, path, value)
                elif route.kind == VENDOR:
                    for path, value in matches(pattern, self.config):
                        yield from self._vendor(route, path, value)
                elif route.kind == ENDPOINT:
                    for path, value in matches(pattern, self.config):
                        resolved, why = self.resolve_endpoint(value)
                        if resolved != PROXY:
                            yield self._hit(route, path, resolved, why)
                elif route.kind == RUNTIME:
                    for path, value in matches(pattern, self.config):
                        yield from self._runtime(route, path, value)
                elif route.kind == SWITCH:
                    for path, value in matches(pattern, self.config):
                        if value in route.values:
                            yield self._hit(route, path, BYPASS, "is switched on")
                        elif _is_variable(value):
                            yield self._hit(route, path, UNKNOWN, "takes its value from the environment")
                elif route.kind == CODE:
                    for path, value in matches(pattern, self.config):
                        if value not in (None, "", [], {}) and not _is_switched_off(value):
                            yield self._hit(route, path, UNKNOWN, "runs with a network of its own")
        yield from self._implicit_default()
        yield from self._alias_hits()
        yield from self._policies()
        yield from self._proxy_provider()
        yield from self._other_providers()
        yield from self._media_models()
        yield from self._plugins()
        yield from self._guards()
        yield from self._elsewhere()
        yield from self._environment()
        if credentials:
            yield from self._implicit()

    def _hit(self, route: Route, path: Path, resolved: str, why: str, *, edits: tuple[Edit, ...] | None = None) -> Hit:
        if edits is None:
            edits = self._edits(route, path)
        return Hit(route.id, shown(path), resolved, why, edits, route.by_default)

    def _edits(self, route: Route, path: Path) -> tuple[Edit, ...]:
        if route.remediation == PIN and self.default_model:
            return (Edit(path, {"primary": self.default_model, "fallbacks": []}),)
        if route.remediation == OFF:
            return (Edit(path, ""),)
        if route.remediation == REMOVE:
            return (Edit(path, None),)
        return ()

    def _model(self, route: Route, path: Path, value: Any) -> Iterator[Hit]:
        if value is None or value == "":
            return
        # Session keys of channels.*.model hold other things than models where the channel is no channel.
        if isinstance(value, str):
            resolved, why = self.resolve(value)
            if resolved != PROXY:
                yield self._hit(route, path, resolved, why)
            return
        if not isinstance(value, Mapping):
            yield self._hit(route, path, UNKNOWN, "is neither a reference nor an object with one")
            return
        primary = value.get("primary")
        if primary is not None and primary != "":
            resolved, why = self.resolve(primary)
            if resolved != PROXY:
                edits = self._primary_edits(route, path)
                yield self._hit(route, (*path, "primary"), resolved, why, edits=edits)
        fallbacks = value.get("fallbacks")
        if isinstance(fallbacks, str):
            fallbacks = [fallbacks]
        wrong = []
        for index, fallback in enumerate(_list(fallbacks)):
            resolved, why = self.resolve(fallback)
            if resolved != PROXY:
                wrong.append(Hit(f"{route.id}-fallbacks", shown((*path, "fallbacks", index)), resolved, why))
        kept = [each for each in _list(fallbacks) if self.resolve(each)[0] == PROXY]
        closing: tuple[Edit, ...] = (Edit((*path, "fallbacks"), kept),)
        if not primary and not kept and route.remediation == PIN and self.default_model:
            # OpenClaw takes an object that names nothing for one that is not there.
            closing += (Edit((*path, "primary"), self.default_model),)
        for hit in wrong:
            yield hit._replace(edits=closing, by_default=True)

    def _primary_edits(self, route: Route, path: Path) -> tuple[Edit, ...]:
        if route.remediation == PIN:
            return (Edit((*path, "primary"), self.default_model),) if self.default_model else ()
        return self._edits(route, path)

    def explicit_edits(self) -> list[Edit]:
        """What makes an agent's own model say that it has no fallbacks, where it only does not name any.

        What OpenClaw takes silence for has changed between releases.
        """
        edits = []
        for pattern in (*BY_ID["agent-model"].paths, *BY_ID["default-model"].paths):
            for path, value in matches(pattern, self.config):
                if isinstance(value, str) and value and self.resolve(value)[0] == PROXY:
                    edits.append(Edit(path, {"primary": value, "fallbacks": []}))
                elif isinstance(value, Mapping) and value.get("primary") and value.get("fallbacks") is None:
                    edits.append(Edit((*path, "fallbacks"), []))
        return edits

    def _vendor(self, route: Route, path: Path, value: Any) -> Iterator[Hit]:
        if not isinstance(value, str) or value.strip().lower() in LOCAL_VENDORS:
            return
        resolved, why = self.resolve_provider(value.strip())
        if resolved != PROXY:
            yield self._hit(route, path, resolved, why)

    def _runtime(self, route: Route, path: Path, value: Any) -> Iterator[Hit]:
        if not isinstance(value, str) or value.strip().lower() in OWN_RUNTIMES:
            return
        where = path[:-1] if path[-1] == "id" or isinstance(path[-1], int) else path
        resolved = BYPASS if _CLAUDE.search(value) else UNKNOWN
        why = f"{named(value)} runs the model's turns by itself"
        yield self._hit(route, path, resolved, why, edits=(Edit(where, None),))

    def _implicit_default(self) -> Iterator[Hit]:
        model = self.defaults.get("model")
        if (isinstance(model, str) and model) or _object(model).get("primary"):
            return
        first = next(iter(self.providers), None)
        # Without any provider nothing is configured, and OpenClaw's own default is another vendor's.
        if first == self.provider:
            return
        resolved, why = (OTHER, "OpenClaw's own default") if first is None else self.resolve_provider(first)
        if resolved == PROXY:
            return
        path: Path = ("agents", "defaults", "model")
        yield Hit(
            "default-model", shown(path), resolved, f"is not set: {why}", self._edits(BY_ID["default-model"], path)
        )

    def _alias_hits(self) -> Iterator[Hit]:
        route = BY_ID["alias"]
        for pattern in route.paths:
            for path, alias in matches(pattern, self.config):
                if not isinstance(alias, str) or not alias:
                    continue
                resolved, why = self.resolve(path[-2])
                if resolved != PROXY:
                    yield self._hit(route, path, resolved, f"{named(alias)} leads there: {why}")

    def _policies(self) -> Iterator[Hit]:
        route = BY_ID["model-policy"]
        wanted = [f"{self.provider}/*"]
        for pattern in route.paths:
            for path, allowed in matches(pattern, self.config):
                is_default = path[:2] == ("agents", "defaults")
                if allowed == [] and not is_default:
                    yield self._hit(route, path, BYPASS, "allows every model", edits=(Edit(path, wanted),))
                for index, each in enumerate(_list(allowed)):
                    if each == "*":
                        resolved, why = BYPASS, "allows every model"
                    else:
                        resolved, why = self.resolve(str(each)[:-2] + "/any" if str(each).endswith("/*") else each)
                    if resolved != PROXY:
                        kept = [one for one in _list(allowed) if one != "*" and self.resolve(one)[0] == PROXY] or wanted
                        yield self._hit(route, (*path, index), resolved, why, edits=(Edit(path, kept),))

    def _proxy_provider(self) -> Iterator[Hit]:
        definition = self.providers.get(self.provider)
        if isinstance(definition, Mapping):
            base: Path = ("models", "providers", self.provider)
            if not self.is_proxy(definition.get("baseUrl")):
                where = f"{self.proxy.host} port {self.proxy.port}" if self.proxy else "an address of this machine"
                found = address_of(definition.get("baseUrl"))
                yield Hit(
                    "provider-base-url",
                    shown((*base, "baseUrl")),
                    # Whoever is there gets Claude's requests.
                    BYPASS,
                    f"leads to {named(found.host)} port {found.port}, not to {where}" if found else f"is not {where}",
                )
            for index, model in enumerate(_list(definition.get("models"))):
                path = (*base, "models", index, "baseUrl")
                own = _object(model).get("baseUrl")
                if own is not None and not self.is_proxy(own):
                    yield self._hit(BY_ID["model-base-url"], path, BYPASS, self.resolve_endpoint(own)[1])
            request = _object(definition.get("request"))
            yield from self._transport(base, definition.get("baseUrl"), _object(request.get("tls")))
            proxy = _object(request.get("proxy"))
            if proxy:
                yield self._hit(
                    BY_ID["provider-request-proxy"], (*base, "request", "proxy"), UNKNOWN, "leads through another proxy"
                )
            yield from self._credentials_of(base, definition, request)
        host = _object(_object(self._plugin_entries().get(self.provider)).get("config")).get("host")
        if isinstance(host, str) and not isinstance(definition, Mapping):
            shape = f"[{host}]" if ":" in host else host
            if not Address(host.lower(), 0).is_loopback and not (self.proxy and self.proxy.host == host.lower()):
                yield Hit(
                    "provider-base-url",
                    shown(("plugins", "entries", self.provider, "config", "host")),
                    UNKNOWN,
                    f"leads to {named(shape)}",
                )

    def _transport(self, base: Path, url: Any, tls: Mapping[str, Any]) -> Iterator[Hit]:
        """Whether a proxy on another machine is the one that answers: without TLS anybody on the way may be."""
        route = BY_ID["provider-transport"]
        found = address_of(url)
        if found is None or not self.is_proxy(url):
            return
        if not found.is_loopback and urlsplit(str(url)).scheme in ("http", "ws"):
            why = f"leads to {named(found.host)} port {found.port} in clear, so that others may read it or answer"
            yield self._hit(route, (*base, "baseUrl"), UNKNOWN, why)
        if tls.get("insecureSkipVerify"):
            why = f"{named(found.host)} may show any certificate"
            yield self._hit(route, (*base, "request", "tls", "insecureSkipVerify"), UNKNOWN, why)

    def _credentials_of(self, base: Path, definition: Mapping[str, Any], request: Mapping[str, Any]) -> Iterator[Hit]:
        places: list[tuple[Path, Any]] = [
            ((*base, "apiKey"), definition.get("apiKey")),
            ((*base, "headers"), definition.get("headers")),
            ((*base, "request", "auth"), request.get("auth")),
            ((*base, "request", "headers"), request.get("headers")),
        ]
        places += [
            ((*base, "models", index, "headers"), _object(model).get("headers"))
            for index, model in enumerate(_list(definition.get("models")))
        ]
        for path, value in places:
            for below, text in _texts(value, path):
                if _DIRECT_KEY.search(text) or _CREDENTIAL_NAME.search(text):
                    yield Hit("provider-credential", shown(below), BYPASS, "is a credential of the direct API")
            if _redact.is_secret_reference(value) and str(_object(value).get("id")) in CREDENTIAL_VARIABLES:
                yield Hit("provider-credential", shown(path), BYPASS, f"is {named(_object(value)['id'])}")

    def _other_providers(self) -> Iterator[Hit]:
        route = BY_ID["other-provider"]
        for name, definition in self.providers.items():
            if name == self.provider or not isinstance(definition, Mapping):
                continue
            resolved, why = self.resolve_provider(name)
            own_addresses = [
                (index, _object(model).get("baseUrl"))
                for index, model in enumerate(_list(definition.get("models")))
                if _object(model).get("baseUrl") is not None
            ]
            if resolved == PROXY:
                for index, own in own_addresses:
                    if not self.is_proxy(own):
                        path = ("models", "providers", name, "models", index, "baseUrl")
                        yield self._hit(BY_ID["model-base-url"], path, BYPASS, self.resolve_endpoint(own)[1])
                continue
            identifiers = [str(_object(model).get("id", "")) for model in _list(definition.get("models"))]
            if resolved != BYPASS and any(_CLAUDE.search(each) for each in identifiers):
                resolved, why = BYPASS, f"{named(name)} lists a Claude model"
            elif resolved == BYPASS and name.lower() in CLAUDE_RESELLERS and identifiers:
                resolved = OTHER if all(_OTHER_MODEL.search(each) for each in identifiers) else UNKNOWN
            yield self._hit(route, ("models", "providers", name), resolved, why)

    def _media_models(self) -> Iterator[Hit]:
        route = BY_ID["media-model"]
        for path, entry in matches(route.paths[0], self.config):
            definition = _object(entry)
            if definition.get("command"):
                text = " ".join([str(definition["command"]), *map(str, _list(definition.get("args")))])
                if _CLAUDE.search(text):
                    yield self._hit(route, path, BYPASS, "starts the Claude program")
                else:
                    yield Hit("code-media-command", shown(path), UNKNOWN, "runs with a network of its own")
                continue
            ways = []
            if definition.get("baseUrl"):
                ways.append(self.resolve_endpoint(definition["baseUrl"]))
            if definition.get("provider"):
                ways.append(self.resolve_provider(str(definition["provider"]), str(definition.get("model") or "")))
            elif definition.get("model"):
                ways.append(self.resolve(definition["model"]))
            if not ways:
                continue
            # The address has the last word for a provider, but not for what it names.
            resolved, why = ways[0] if ways[0][0] == PROXY else max(ways, key=lambda way: _WORST.index(way[0]))
            if resolved != PROXY:
                yield self._hit(route, path, resolved, why)

    def _plugin_entries(self) -> Mapping[str, Any]:
        return _object(_object(self.config.get("plugins")).get("entries"))

    def _plugins(self) -> Iterator[Hit]:
        for name, entry in self._plugin_entries().items():
            definition = _object(entry)
            if definition.get("enabled") is False:
                continue
            base: Path = ("plugins", "entries", name)
            if name != self.provider:
                yield from self._plugin_models(definition.get("config"), (*base, "config"))
            yield from self._plugin_choice(definition, base)

    def _plugin_models(self, node: Any, path: Path, *, names_models: bool = False, provider: str = "") -> Iterator[Hit]:
        route = BY_ID["plugin-model"]
        if isinstance(node, str):
            if not node:
                return
            if names_models:
                resolved, why = self.resolve(node)
                if resolved == UNKNOWN and "/" not in node and provider:
                    resolved, why = self.resolve_provider(provider, node)
                if resolved != PROXY:
                    yield self._hit(route, path, resolved, why)
            elif address_of(node) is not None or _ADDRESS_KEY.search(str(path[-1])):
                resolved, why = self.resolve_endpoint(node)
                if resolved == BYPASS or (resolved == UNKNOWN and why.endswith(_CLAUDE_AMONG_OTHERS)):
                    yield self._hit(route, path, resolved, why)
                elif _is_variable(node):
                    yield Hit(route.id, shown(path), UNKNOWN, why)
            elif _PROVIDER_KEY.search(str(path[-1])) and (str(path[-1]) != "provider" or not provider):
                resolved, why = self.resolve_provider(node)
                if resolved in (BYPASS, OTHER) or str(path[-1]) != "provider":
                    yield self._hit(route, path, resolved, why)
        elif isinstance(node, list):
            for index, member in enumerate(node):
                yield from self._plugin_models(member, (*path, index), names_models=names_models, provider=provider)
        elif isinstance(node, Mapping):
            beside = next(
                (node[each] for each in node if each.lower().endswith("provider") and isinstance(node[each], str)), ""
            )
            has_model = any(_MODEL_KEY.search(each) for each in node)
            for key, value in node.items():
                below = names_models and key in ("primary", "fallbacks")
                is_model = below or _MODEL_KEY.search(key) is not None
                yield from self._plugin_models(
                    value, (*path, key), names_models=is_model, provider=beside if is_model or has_model else ""
                )

    def _plugin_choice(self, definition: Mapping[str, Any], base: Path) -> Iterator[Hit]:
        route = BY_ID["plugin-model-choice"]
        for part, lists in (("llm", ("allowedModels", "allowedCompletionModels")), ("subagent", ("allowedModels",))):
            section = _object(definition.get(part))
            kept_of = {
                key: [one for one in _list(section.get(key)) if one != "*" and self.resolve(one)[0] == PROXY]
                for key in lists
            }
            is_free = section.get("allowModelOverride") is True and not any(kept_of.values())
            switch = (*base, part, "allowModelOverride")
            for key in lists:
                for index, each in enumerate(_list(section.get(key))):
                    resolved, why = (BYPASS, "allows every model") if each == "*" else self.resolve(each)
                    if resolved != PROXY:
                        path = (*base, part, key)
                        # Without a list the switch would let the plugin choose anything.
                        edits = (Edit(path, kept_of[key]), *((Edit(switch, None),) if is_free else ()))
                        yield self._hit(route, (*path, index), resolved, why, edits=edits)
            if is_free and not any(_list(section.get(key)) for key in lists):
                yield self._hit(route, switch, BYPASS, "lets the plugin choose any model")

    def _guards(self) -> Iterator[Hit]:
        route = BY_ID["channel-guard"]
        for pattern in route.paths:
            for path, guard in matches(pattern, self.config):
                definition = _object(guard)
                if definition.get("provider"):
                    resolved, why = self.resolve_provider(
                        str(definition["provider"]), str(definition.get("pinnedModel") or "")
                    )
                    if resolved != PROXY:
                        yield self._hit(route, path, resolved, why)

    def _elsewhere(self) -> Iterator[Hit]:
        mode = _object(self.config.get("gateway")).get("mode")
        if mode == "remote" or _is_variable(mode):
            yield Hit("remote-inference", "gateway.mode", UNKNOWN, "agents may run on another gateway")
        for pattern in ("cloudWorkers.profiles.*", "cloudWorkers.projectProfiles.*"):
            for path, _value in matches(pattern, self.config):
                yield Hit("remote-inference", shown(path), UNKNOWN, "agents run on a cloud worker")
        why = "starts another agent program"
        for pattern, wanted in (
            ("agents.entries.*.runtime.type", "acp"),
            ("agents.list[].runtime.type", "acp"),
            ("bindings[].type", "acp"),
            ("gateway.cliAgents.enabled", True),
        ):
            for path, value in matches(pattern, self.config):
                if value == wanted or _is_variable(value):
                    yield Hit("external-harness", shown(path), BYPASS if value == wanted else UNKNOWN, why)
        for path, value in matches("bindings[].acp", self.config):
            yield from (Hit("external-harness", shown(path), BYPASS, why) for _each in [value] if value)
        # What is configured is on unless it is switched off.
        acp = self.config.get("acp")
        if isinstance(acp, Mapping) and acp and acp.get("enabled") is not False:
            yield Hit("external-harness", "acp", BYPASS, why)

    def _environment(self) -> Iterator[Hit]:
        route = BY_ID["credential-config"]
        environment = _object(self.config.get("env"))
        places: list[tuple[Path, Any]] = [
            (("env", "vars", name), value) for name, value in _object(environment.get("vars")).items()
        ]
        places += [(("env", name), value) for name, value in environment.items() if isinstance(value, str)]
        for path, value in places:
            name = str(path[-1])
            if name == "OPENCLAW_LOAD_SHELL_ENV" and is_switched_on(value):
                yield self._hit(BY_ID["credential-shell-environment"], path, BYPASS, "takes keys from the login shell")
            if believes_any_certificate({name: str(value)}):
                why = "has Node believe any certificate, that of the proxy included"
                yield self._hit(BY_ID["provider-transport"], path, UNKNOWN, why)
            if name in CREDENTIAL_VARIABLES and value not in (None, ""):
                resolved, _why = self.resolve_provider(CREDENTIAL_VARIABLES[name])
                yield self._hit(route, path, resolved, f"opens {CREDENTIAL_VARIABLES[name]}")

    def _implicit(self) -> Iterator[Hit]:
        if not _list(_object(self.defaults.get("modelPolicy")).get("allow")):
            edit = Edit(("agents", "defaults", "modelPolicy", "allow"), [f"{self.provider}/*"])
            yield Hit("model-policy-open", "agents.defaults.modelPolicy.allow", BYPASS, "is not set", (edit,))
        pinned = {"primary": self.default_model, "fallbacks": []}
        for name, identifier in (("imageModel", "image-model-implicit"), ("pdfModel", "pdf-model-implicit")):
            if self._is_set(self.defaults.get(name)) or (name == "imageModel" and self._default_takes_pictures()):
                continue
            path: Path = ("agents", "defaults", name)
            edits = (Edit(path, pinned),) if self.default_model else ()
            yield Hit(identifier, shown(path), BYPASS, "is not set, and OpenClaw chooses a direct model", edits)

    def _is_set(self, model: Any) -> bool:
        definition = model if isinstance(model, Mapping) else {"primary": model}
        named_models = [definition.get("primary"), *_list(definition.get("fallbacks"))]
        return any(isinstance(each, str) and each.strip() for each in named_models)

    def _default_takes_pictures(self) -> bool:
        for model in _list(_object(self.providers.get(self.provider)).get("models")):
            definition = _object(model)
            if f"{self.provider}/{definition.get('id')}" == self.default_model:
                return "image" in _list(definition.get("input"))
        return False


def _is_variable(value: Any) -> bool:
    return isinstance(value, str) and _VARIABLE.search(value) is not None


# Of Node; see its documentation, "Command-line API".
TLS_SWITCH = "NODE_TLS_REJECT_UNAUTHORIZED"


def believes_any_certificate(environment: Mapping[str, str]) -> bool:
    """Whether Node checks no certificate in an environment of these variables."""
    return environment.get(TLS_SWITCH, "").strip() == "0"


def is_switched_on(value: Any) -> bool:
    """Whether OpenClaw takes the value of an environment variable for yes."""
    return str(value).strip().lower() in ("1", "true", "yes", "on")


def _is_switched_off(value: Any) -> bool:
    return isinstance(value, Mapping) and (value.get("enabled") is False or value.get("disabled") is True)


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from _texts(member, (*path, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _texts(member, (*path, index))
