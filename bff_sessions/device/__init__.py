"""With what a session was last used, and when: BFF_SESSIONS["DEVICE"], off by default.

- `options`: the setting;
- `noting`: user agent, address and moment on their way from a request to the store;
- `words`: "Firefox on Windows";
- `checks`: what is wrong with the setting.
"""
