"""Novel images that are also elsewhere."""

from dataclasses import replace

from benchmarks.known_duplicates import Duplicate, found


def test_planted_duplicates_are_named_with_where_they_are(images):
    pixels, of = images.images.copy(), images.images_of_class
    split = images.split("paper")
    (base, *_), (first, second, third, *_) = split.base, split.novel
    pixels[of[first][2]] = pixels[of[base][7]]
    pixels[of[second][1]] = pixels[of[third][0]]
    pixels[of[base][3]] = pixels[of[base][4]]  # nobody is tested on it
    name = images.class_names
    assert sorted(found(replace(images, images=pixels), "paper"), key=lambda d: d.image) == sorted(
        [
            Duplicate((name[first], 2), [(name[base], 7)], "base"),
            Duplicate((name[second], 1), [(name[third], 0)], "novel"),
            Duplicate((name[third], 0), [(name[second], 1)], "novel"),
        ],
        key=lambda d: d.image,
    )
