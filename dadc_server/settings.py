"""All settings, read from the environment once; a bad value stops the start with its name.

| variable | default | meaning |
|---|---|---|
| DADC_DATA | var/ | folder for the database, artifacts, secret key and logs |
| DADC_ARTIFACTS | (empty) | s3://bucket/prefix, if machines share files of models there |
| DATABASE_URL | (empty) | postgres://…; empty means SQLite in DADC_DATA |
| REDIS_URL | (empty) | redis://…; channel layer and cache; empty means in-memory, one web process |
| DADC_SECRET_KEY | (empty) | empty: made at first start in DADC_DATA/secret_key (mode 600) |
| DADC_SECRET_KEYS_BEFORE | (empty) | keys before that one, with spaces between them: still good |
| DADC_DEBUG | 0 | Django's debug pages; never on a server others can reach |
| DADC_ALLOWED_HOSTS | localhost,127.0.0.1,[::1] | host names the server answers to |
| DADC_ORIGINS | (empty) | further trusted origins, https://… |
| DADC_HTTPS | 0 | behind TLS: secure cookies, HSTS, redirect to https |
| DADC_PATH | (empty) | what all addresses begin with, /dadc, on a host that others share |
| DADC_PROXY | 0 | whose X-Forwarded-Proto and -For are believed: 1 this machine, or addresses |
| DADC_EMAIL_URL | (empty) | smtp://…; empty: no mail is sent and no address need be proven |
| DADC_EMAIL_FROM | DADC Server <noreply@localhost> | sender of mail |
| DADC_LIMITS | (empty) | doors that open more or less often: `submit=20/1 vote@address=400/40` |
| DADC_SOCKETS | 1000 | websockets that one web process holds |
| DADC_SOCKETS_PER_ADDRESS | 300 | of these, from one address |
| DADC_DATABASE_THREADS | 8 | threads of a web process that each keep one database connection |
| DADC_MODEL_HOSTS | (empty) | hosts, host:port or host, whose servers models may be asked at |
| DADC_CHAT_MODEL | (empty) | a model file, with which the library's task of chats is loaded |
| DADC_METRICS_TOKEN | (empty) | lets Prometheus read /metrics from other machines |
| DADC_PROLIFIC_TOKEN | (empty) | of Prolific's API: its campaigns are followed and paid by it |
| DADC_PROLIFIC_SECRET | (empty) | of its events, which are refused without it |
| DADC_PROLIFIC_URL | https://api.prolific.com | where that API is |
| DADC_LOG_LEVEL | INFO | |
| DADC_LOG_FORMAT | (empty) | json or text; empty: text on a terminal, else JSON |
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from whitenoise.compress import Compressor

from core.doors import parse_doors
from dadc_server import secret_key
from dadc_server.logs import logging_settings

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

DATA_DIR = Path(env("DADC_DATA", default=str(BASE_DIR / "var"))).expanduser().resolve()
ARTIFACT_DIR = DATA_DIR / "artifacts"
ARTIFACTS = env("DADC_ARTIFACTS", default="")  # behind that folder, see ml/store.py
RELEASE_DIR = DATA_DIR / "releases"
DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)


def _secret_key() -> str:
    """The key from the environment, else the one made at first start (owner-only file)."""
    if key := env("DADC_SECRET_KEY", default=""):
        return str(key)
    try:
        return secret_key.kept_in(DATA_DIR / "secret_key")
    except secret_key.EmptyKey as empty:
        raise ImproperlyConfigured(str(empty)) from None


def _trusted_proxies(text: str) -> list[str]:
    """The addresses and networks that may speak for a client; 1 is a proxy on this machine."""
    if text.lower() in env.BOOLEAN_TRUE_STRINGS:
        return ["127.0.0.1", "::1"]
    if text.lower() in {"", "0", "false", "off", "no"}:
        return []
    try:
        return [str(ipaddress.ip_network(part.strip())) for part in text.split(",")]
    except ValueError as error:
        raise ImproperlyConfigured(
            f"DADC_PROXY: {error}. Give 0, 1, or addresses and networks with commas between them."
        ) from None


def _base_path(text: str) -> str:
    """Where the server lives on its host: nothing, or a path with a slash before each part."""
    if not re.fullmatch(r"(/[\w.~-]+)*/?", text, re.ASCII):
        raise ImproperlyConfigured(f"DADC_PATH: {text!r} is no path: give one such as /dadc.")
    return text.rstrip("/")


SECRET_KEY = _secret_key()
SECRET_KEY_FALLBACKS = env("DADC_SECRET_KEYS_BEFORE", default="").split()
DEBUG = env.bool("DADC_DEBUG", default=False)
BASE_PATH = _base_path(env("DADC_PATH", default=""))
FORCE_SCRIPT_NAME = BASE_PATH or None
ALLOWED_HOSTS = env.list("DADC_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
HTTPS = env.bool("DADC_HTTPS", default=False)
TRUSTED_PROXIES = _trusted_proxies(env("DADC_PROXY", default="0"))
CSRF_TRUSTED_ORIGINS = env.list("DADC_ORIGINS", default=[])

INSTALLED_APPS = [
    "dadc_server.apps.DadcServerConfig",
    "accounts",
    "annotate",
    "validate",
    "scoring",
    "training",
    "releases",
    "crowd",
    "channels",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "django_tasks_db",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "accounts.admin_site.AdminSiteConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "dadc_server.web.static_files.StaticFiles",
    "csp.middleware.CSPMiddleware",
    "dadc_server.web.edge.Edge",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "dadc_server.urls"
ASGI_APPLICATION = "dadc_server.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates", BASE_DIR / "kinds"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- data ---------------------------------------------------------------------------------------
if env("DATABASE_URL", default=""):
    DATABASES = {"default": env.db("DATABASE_URL")}
    # Connections belong to the bounded pool of threads (core/bridge.py) and live with it; a
    # dead one is noticed before it is used again after a rest.
    DATABASES["default"]["CONN_MAX_AGE"] = 600
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # A host that is gone answers nothing: connections end within a minute, new ones in seconds.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        "keepalives_idle": 20,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        # By default a page that an index points to counts as four read in a row, as on a spinning
        # disk: PostgreSQL then reads a small table whole for each item that the queue looks up.
        # And a prepared statement is planned once, not again with each run's values: for the
        # search of a next item it would do so half of the time, for longer than the search takes.
        "options": "-c random_page_cost=1.1 -c plan_cache_mode=force_generic_plan",
        **DATABASES["default"].get("OPTIONS", {}),
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "db.sqlite3",
            "CONN_MAX_AGE": 600,
            "OPTIONS": {
                # IMMEDIATE: a transaction that will write takes the lock at its start and waits
                # for it; a deferred one fails at once when it is upgraded under another writer.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                # FULL: what is acknowledged survives a power cut too, for 2 ms a commit (measured:
                # 490 commits a second; NORMAL, which survives a kill only, 24,000).
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASE_THREADS = env.int("DADC_DATABASE_THREADS", default=8)

REDIS_URL = env("REDIS_URL", default="")
if REDIS_URL:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [REDIS_URL]},
        }
    }
    CACHES = {
        "default": {
            "BACKEND": "dadc_server.web.cache.RedisOrMemory",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": "dadc",
            "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
        }
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
WEB_CONCURRENCY = env.int("WEB_CONCURRENCY", default=1)
BOARD_SECONDS = env.int("DADC_BOARD_SECONDS", default=60)

TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": []}}

# --- people -------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.PasswordBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "accounts.forms.SignInForm",
    "signup": "accounts.forms.SignUpForm",
    "add_email": "accounts.forms.AddEmailForm",
    "change_password": "accounts.forms.ChangePasswordForm",
    "set_password": "accounts.forms.SetPasswordForm",
    "reset_password": "accounts.forms.ResetPasswordForm",
    "reset_password_from_key": "accounts.forms.NewPasswordForm",
    "reauthenticate": "accounts.forms.ConfirmForm",
}
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_USERNAME_MIN_LENGTH = 2
ACCOUNT_PREVENT_ENUMERATION = True
MFA_ADAPTER = "accounts.adapters.SecondFactorAdapter"
MFA_FORMS = {
    "authenticate": "accounts.forms.SecondFactorForm",
    "reauthenticate": "accounts.forms.ConfirmSecondFactorForm",
    "activate_totp": "accounts.forms.ActivateSecondFactorForm",
}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "DADC Server"

if env("DADC_EMAIL_URL", default=""):
    vars().update(env.email_url("DADC_EMAIL_URL"))
    MAIL_CONFIGURED = True
    ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    ACCOUNT_LOGIN_METHODS = {"username", "email"}
    ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
else:
    # Without a mail server nobody could prove an address or open a reset link: ask for neither.
    EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    MAIL_CONFIGURED = False
    ACCOUNT_EMAIL_VERIFICATION = "none"
    ACCOUNT_LOGIN_METHODS = {"username"}
    ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
DEFAULT_FROM_EMAIL = env("DADC_EMAIL_FROM", default="DADC Server <noreply@localhost>")

# --- limits -------------------------------------------------------------------------------------
try:
    LIMITS = parse_doors(env("DADC_LIMITS", default=""))
except ValueError as error:
    raise ImproperlyConfigured(f"DADC_LIMITS: {error}") from error
SOCKETS = env.int("DADC_SOCKETS", default=1_000)
SOCKETS_PER_ADDRESS = env.int("DADC_SOCKETS_PER_ADDRESS", default=300)
# Sign-in has limits of its own (allauth). A class behind one address signs in within a minute.
ACCOUNT_RATE_LIMITS = {
    "login": "120/m/ip",
    "login_failed": "60/m/ip,5/5m/key",
    "login_failed_elsewhere": "50/h/key",
    "signup": "60/m/ip",
}

MODEL_HOSTS = env.list("DADC_MODEL_HOSTS", default=[])
CHAT_MODEL = env("DADC_CHAT_MODEL", default="")
METRICS_TOKEN = env("DADC_METRICS_TOKEN", default="")

# --- platforms that workers come from ------------------------------------------------------------
CROWD = {
    "prolific_url": env("DADC_PROLIFIC_URL", default="https://api.prolific.com"),
    "prolific_token": env("DADC_PROLIFIC_TOKEN", default=""),
    "prolific_secret": env("DADC_PROLIFIC_SECRET", default=""),
}

# --- scripts ------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.backends.TokenAuthentication",
        "crowd.passes.VisitAuthentication",
        "accounts.backends.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["dadc_server.web.json_body.JsonParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "dadc_server.api.NewestFirst",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "dadc_server.api.error_response",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REST_KNOX = {"AUTH_HEADER_PREFIX": "Token", "TOKEN_TTL": None, "AUTO_REFRESH": False}
SPECTACULAR_SETTINGS = {
    "TITLE": "DADC Server",
    "DESCRIPTION": "Dynamic adversarial data collection: predict, submit, validate, score.",
    "VERSION": "1",
    "SERVERS": [{"url": BASE_PATH}] if BASE_PATH else [],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "ENUM_NAME_OVERRIDES": {
        "ExampleStatus": "annotate.models.Example.Status",
        "RoundStatus": "annotate.models.Round.Status",
        "RunStatus": "training.models.TrainingRun.Status",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "dadc_server.api.describe_errors",
    ],
}

# --- security -----------------------------------------------------------------------------------
SESSION_ENGINE = "accounts.sessions"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "dadc_server.web.edge.stale_form"
if BASE_PATH:
    # Of two cookies of one name Django reads the one with the shorter path: a site at the root of
    # this host would sign people out here.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "dadc_sessionid", "dadc_csrftoken"
    SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{BASE_PATH}/"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if HTTPS:
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 31_536_000
    # On a shared host only its owner can speak for its subdomains.
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not BASE_PATH
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https"
# What a proxy forwards is read in one place, the web process (dadc_server/web/process.py): what
# Django, allauth and the websockets see as address and scheme is already the client's.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
# A submitted picture is at most 2 MiB, a third more in base64.
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

# --- static files, language, time ---------------------------------------------------------------
STATIC_URL = f"{BASE_PATH}/static/"
# Source maps are for whoever opens a debugger, and took half the time of compressing.
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = [*Compressor.SKIP_COMPRESS_EXTENSIONS, "map"]
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [
    BASE_DIR / "static",
    # A kind's own scripts and style sheets: kinds/image/static/editor.js is kinds/image/editor.js.
    *((f"kinds/{own.parent.name}", own) for own in sorted((BASE_DIR / "kinds").glob("*/static"))),
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "dadc_server.web.static_files.StaticStorage"
    },
}
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

# --- logs ---------------------------------------------------------------------------------------
LOG_LEVEL = env("DADC_LOG_LEVEL", default="INFO")
LOG_FORMAT = env("DADC_LOG_FORMAT", default="")
if LOG_FORMAT not in ("", "json", "text"):
    raise ImproperlyConfigured(f"DADC_LOG_FORMAT: {LOG_FORMAT!r} must be json or text.")
LOGGING_CONFIG = "dadc_server.logs.configure"
LOGGING = logging_settings(level=LOG_LEVEL, kind=LOG_FORMAT)
