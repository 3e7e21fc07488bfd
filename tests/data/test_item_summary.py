from bundle.data import summarize_items
from bundle.keys import IMAGE, POINTS

ITEMS = [{IMAGE: "/data/target/images/a.png", POINTS: [[1, 2], [3, 4]]}, {IMAGE: "/data/target/images/b.png"}]


def test_images_and_clicks_are_counted():
    assert summarize_items(ITEMS).startswith("2 images, 2 clicks, ")
    assert summarize_items([]).startswith("0 images, 0 clicks, ")


def test_a_folder_may_be_moved():
    moved = [{**item, IMAGE: item[IMAGE].replace("/data", "/elsewhere")} for item in ITEMS]
    assert summarize_items(moved) == summarize_items(ITEMS)


def test_another_click_or_image_is_another_list():
    clicked = [{**ITEMS[0], POINTS: [[1, 2], [3, 5]]}, ITEMS[1]]
    renamed = [ITEMS[0], {IMAGE: "/data/target/images/c.png"}]
    assert len({summarize_items(items) for items in (ITEMS, clicked, renamed, ITEMS[::-1])}) == 4
