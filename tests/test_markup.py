from action_indrnn.markup import Markup, element, join, table


def test_text_from_outside_is_no_markup() -> None:
    found = element("td", '<b>&"', element("i", "x"), class_="a", data_name='"><script>')
    assert found == ('<td class="a" data-name="&quot;&gt;&lt;script&gt;">&lt;b&gt;&amp;&quot;<i>x</i></td>')
    assert join("<", Markup("<br>"), None, 3) == "&lt;<br>3"


def test_void_elements_have_no_end() -> None:
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert element("rect", x=1, y=None) == '<rect x="1"></rect>'


def test_a_table_says_what_it_is() -> None:
    found = table("Counts", ["Class", "Clips"], [["a<b", "3"]], class_="sortable")
    assert "<caption>Counts</caption>" in found
    assert '<th scope="col">Class</th><th scope="col" class="number">Clips</th>' in found
    assert '<tr><th scope="row">a&lt;b</th><td class="number">3</td></tr>' in found
