"""A text with each character that has a meaning in a URL or in a connection string."""

ODD = "p@ss:w/rd?#%&=+ é'\"\\"
ODD_QUOTED = "p%40ss%3Aw%2Frd%3F%23%25%26%3D%2B%20%C3%A9%27%22%5C"
