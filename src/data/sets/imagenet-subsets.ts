/**
 * Published subsets of ImageNet-1K by WordNet id.
 *
 * ImageNet-100 is imagenet100.txt of github.com/HobbitLong/CMC at bc687a2. The sets of ten are the class indices of
 * `Config` in utils.py of github.com/GeorgeCazenavette/mtt-distillation at 0c42493 (Imagenette to ImageYellow) and
 * of github.com/GeorgeCazenavette/glad at d221e9c (its ImageNet-A to -E); an index counts the 1,000 ids in order.
 * Every id's WordNet name, in the comments, was compared with the one that the sources give beside the index: they
 * agree, where "bengal cat" stands for 282 (tiger cat) and "green apple" for 948 (Granny Smith).
 */
export const imagenetSubsets: Readonly<Record<string, readonly string[]>> = {
  "imagenet-100": wnids(`
    n01558993 n01692333 n01729322 n01735189 n01749939 n01773797 n01820546 n01855672 n01978455 n01980166
    n01983481 n02009229 n02018207 n02085620 n02086240 n02086910 n02087046 n02089867 n02089973 n02090622
    n02091831 n02093428 n02099849 n02100583 n02104029 n02105505 n02106550 n02107142 n02108089 n02109047
    n02113799 n02113978 n02114855 n02116738 n02119022 n02123045 n02138441 n02172182 n02231487 n02259212
    n02326432 n02396427 n02483362 n02488291 n02701002 n02788148 n02804414 n02859443 n02869837 n02877765
    n02974003 n03017168 n03032252 n03062245 n03085013 n03259280 n03379051 n03424325 n03492542 n03494278
    n03530642 n03584829 n03594734 n03637318 n03642806 n03764736 n03775546 n03777754 n03785016 n03787032
    n03794056 n03837869 n03891251 n03903868 n03930630 n03947888 n04026417 n04067472 n04099969 n04111531
    n04127249 n04136333 n04229816 n04238763 n04336792 n04418357 n04429376 n04435653 n04485082 n04493381
    n04517823 n04589890 n04592741 n07714571 n07715103 n07753275 n07831146 n07836838 n13037406 n13040303
  `),
  // tench, English springer, cassette player, chain saw, church, French horn, garbage truck, gas pump, golf ball, parachute
  imagenette: wnids(
    "n01440764 n02102040 n02979186 n03000684 n03028079 n03394916 n03417042 n03425413 n03445777 n03888257",
  ),
  // Australian terrier, Border terrier, Samoyed, beagle, Shih-Tzu, English foxhound, Rhodesian ridgeback, dingo, golden retriever, Old English sheepdog
  imagewoof: wnids(
    "n02096294 n02093754 n02111889 n02088364 n02086240 n02089973 n02087394 n02115641 n02099601 n02105641",
  ),
  // pineapple, banana, strawberry, orange, lemon, pomegranate, fig, bell pepper, cucumber, Granny Smith
  imagefruit: wnids(
    "n07753275 n07753592 n07745940 n07747607 n07749582 n07768694 n07753113 n07720875 n07718472 n07742313",
  ),
  // tabby, tiger cat, Persian cat, Siamese cat, Egyptian cat, lion, tiger, jaguar, snow leopard, lynx
  imagemeow: wnids(
    "n02123045 n02123159 n02123394 n02123597 n02124075 n02129165 n02129604 n02128925 n02128757 n02127052",
  ),
  // peacock, flamingo, macaw, pelican, king penguin, bald eagle, toucan, ostrich, black swan, sulphur-crested cockatoo
  imagesquawk: wnids(
    "n01806143 n02007558 n01818515 n02051845 n02056570 n01614925 n01843383 n01518878 n01860187 n01819313",
  ),
  // bee, yellow lady's slipper, banana, lemon, corn, school bus, honeycomb, lion, black and gold garden spider, goldfinch
  imageyellow: wnids(
    "n02206856 n12057211 n07753592 n07749582 n12144580 n04146614 n03530642 n02129165 n01773157 n01531178",
  ),
  // Leonberg, proboscis monkey, rapeseed, three-toed sloth, cliff dwelling, yellow lady's slipper, hamster, gondola, killer whale, limpkin
  "glad-a": wnids(
    "n02111129 n02489166 n11879895 n02457408 n03042490 n12057211 n02342885 n03447447 n02071294 n02013706",
  ),
  // spoonbill, web site, lorikeet, African hunting dog, earthstar, trolleybus, echidna, Pomeranian, odometer, ruddy turnstone
  "glad-b": wnids(
    "n02006656 n06359193 n01820546 n02116738 n13044778 n04487081 n01872401 n02112018 n03841143 n02025239",
  ),
  // freight car, hummingbird, fireboat, disk brake, bee eater, rock beauty, lion, European gallinule, cabbage butterfly, goldfinch
  "glad-c": wnids(
    "n03393912 n01833805 n03344393 n03208938 n01828970 n02606052 n02129165 n02017213 n02280649 n01531178",
  ),
  // ostrich, Samoyed, junco, Brabancon griffon, chickadee, sorrel, admiral, great gray owl, hornbill, ringlet
  "glad-d": wnids(
    "n01518878 n02111889 n01534433 n02112706 n01592084 n02389026 n02276258 n01622779 n01829413 n02277742",
  ),
  // spindle, toucan, black swan, king penguin, potter's wheel, photocopier, screw, tarantula, oscilloscope, lycaenid
  "glad-e": wnids(
    "n04277352 n01843383 n01860187 n02056570 n03992509 n03924679 n04153751 n01774750 n03857828 n02281787",
  ),
};

function wnids(text: string): readonly string[] {
  return text.trim().split(/\s+/).sort();
}
