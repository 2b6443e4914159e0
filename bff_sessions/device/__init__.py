"""The device that uses a session, and when: BFF_SESSIONS["DEVICE"], off by default.

- `options`: the setting
- `recording`: stores user agent, address and time of a request
- `user_agents`: describes a user agent, such as "Firefox on Windows"
"""
