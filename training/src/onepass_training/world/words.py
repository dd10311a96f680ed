"""The vocabulary that titles and attributes are built from."""

STYLES = ("Rustic", "Modern", "Vintage", "Minimal", "Playful", "Coastal")

COLORS = (
    "white", "black", "grey", "sand", "terracotta", "mustard", "olive", "sage", "teal", "navy", "blush", "plum",
)  # fmt: skip

# category -> (nouns, makings). A making is the material, method or main ingredient: whatever tells two of a kind apart.
CATEGORIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ceramics": (("vase", "mug", "bowl", "planter", "teapot"), ("glazed stoneware", "porcelain", "earthenware", "raku")),
    "furniture": (("armchair", "bookshelf", "side table", "bench", "desk"), ("oak", "walnut", "rattan", "steel")),
    "lighting": (("table lamp", "pendant", "lantern", "sconce", "floor lamp"), ("brass", "paper", "glass", "linen")),
    "textiles": (("throw", "cushion", "rug", "curtain", "quilt"), ("wool", "linen", "cotton", "velvet")),
    "garden": (("raised bed", "trellis", "bird bath", "path", "pergola"), ("cedar", "stone", "willow", "brick")),
    "baking": (("tart", "loaf", "layer cake", "biscuits", "galette"), ("almond", "lemon", "rye", "chocolate")),
    "dinner": (("curry", "stew", "salad", "noodles", "gratin"), ("chickpea", "mushroom", "salmon", "squash")),
    "drinks": (("cordial", "iced tea", "latte", "smoothie", "punch"), ("ginger", "elderflower", "matcha", "berry")),
    "jewellery": (("earrings", "ring", "pendant necklace", "bracelet", "brooch"), ("silver", "gold", "resin", "pearl")),
    "clothing": (("jacket", "dress", "cardigan", "trousers", "scarf"), ("denim", "merino", "silk", "corduroy")),
    "shoes": (("boots", "loafers", "sandals", "trainers", "clogs"), ("leather", "suede", "canvas", "cork")),
    "travel": (("weekend route", "cabin stay", "city walk", "island trip", "night train"),
               ("northern", "alpine", "riverside", "desert")),
    "fitness": (("stretch routine", "run plan", "kettlebell set", "yoga flow", "swim drill"),
                ("morning", "ten-minute", "low-impact", "interval")),
    "illustration": (("poster", "sketchbook", "postcard", "mural", "comic"),
                     ("gouache", "ink", "linocut", "risograph")),
    "photography": (("portrait", "still life", "landscape", "street scene", "macro"),
                    ("film", "black-frame", "golden-hour", "long-exposure")),
    "crafts": (("wreath", "candle", "basket", "notebook", "mobile"), ("beeswax", "macrame", "pressed-flower", "birch")),
}  # fmt: skip

# Other words that people search with. What has none here goes by its own name only.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "white": ("ivory", "off-white"), "black": ("jet black",), "grey": ("gray", "slate"), "sand": ("beige", "cream"),
    "terracotta": ("rust", "brick red"), "mustard": ("yellow", "ochre"), "olive": ("khaki",), "sage": ("light green",),
    "teal": ("turquoise",), "navy": ("dark blue",), "blush": ("pink", "rosé"), "plum": ("purple", "aubergine"),
    "rustic": ("farmhouse", "country"), "modern": ("contemporary", "sleek"), "vintage": ("retro", "antique"),
    "minimal": ("minimalist", "simple"), "playful": ("fun", "whimsical"), "coastal": ("beach", "seaside"),
    "mug": ("cup",), "planter": ("plant pot", "flower pot"), "bowl": ("dish",), "armchair": ("lounge chair",),
    "bookshelf": ("bookcase",), "side table": ("end table",), "table lamp": ("bedside lamp",), "pendant": ("hanging light",),
    "sconce": ("wall light",), "throw": ("blanket",), "cushion": ("pillow",), "rug": ("carpet",), "curtain": ("drapes",),
    "quilt": ("bedspread",), "raised bed": ("garden bed",), "trellis": ("plant climber",), "layer cake": ("torte",),
    "biscuits": ("cookies",), "loaf": ("bread",), "noodles": ("pasta",), "cordial": ("syrup",), "smoothie": ("shake",),
    "earrings": ("ear studs",), "bracelet": ("bangle",), "brooch": ("pin",), "jacket": ("coat",), "cardigan": ("knitwear",),
    "trousers": ("pants",), "trainers": ("sneakers",), "weekend route": ("road trip",), "cabin stay": ("hut",),
    "city walk": ("walking tour",), "stretch routine": ("stretching",), "run plan": ("running plan",), "poster": ("print",),
    "portrait": ("headshot",), "street scene": ("street photo",), "notebook": ("journal",), "candle": ("candles",),
}  # fmt: skip
