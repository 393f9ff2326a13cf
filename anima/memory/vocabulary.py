"""The words that the rules of `slots` know: people, things that have one value, times, places; no rules.

Every list is a closed class of English or a sample of an open one. A word that is missing costs a
claim that is not made, never a wrong one. A space within an entry is written as `_`.
"""

from collections.abc import Iterable, Mapping
from typing import Final


def alternatives(words: Iterable[str]) -> str:
    """A pattern for any of these words, the longest first."""
    return "|".join(sorted((w.replace(" ", r"\s+") for w in words), key=len, reverse=True))


def words(text: str) -> frozenset[str]:
    """The entries of a list."""
    return frozenset(word.replace("_", " ") for word in text.split())


def _pairs(text: str) -> Mapping[str, str]:
    """`one=other` for each entry; an entry without `=` stands for itself."""
    pairs = (word.replace("_", " ").partition("=") for word in text.split())
    return {one: other or one for one, _, other in pairs}


RELATIONS: Final = _pairs(
    """
    accountant advisor assistant aunt baby barber best_friend big_brother=older_brother
    big_sister=older_sister bird boss boyfriend=partner brother brother-in-law cat chicken
    child co-worker=coworker coach colleague cousin coworker dad=father daughter
    daughter-in-law dentist doctor dog eldest_daughter=oldest_daughter eldest_son=oldest_son
    father father-in-law ferret fiance=partner fiancee=partner fiancé=partner fiancée=partner
    fish flatmate friend gecko girlfriend=partner goddaughter godmother godson goldfish
    gp=doctor granddad=grandfather grandfather grandma=grandmother grandmother
    grandpa=grandfather granny=grandmother guinea_pig=guinea-pig guinea-pig hamster horse
    husband=partner kid kitten landlord lawyer line_manager=manager
    little_brother=younger_brother little_sister=younger_sister lizard mama=mother manager
    mate=friend mentor mom=mother mother mother-in-law mum=mother nana=grandmother neighbor
    neighbour=neighbor nephew niece older_brother older_sister oldest_daughter oldest_son
    parrot partner pet pony professor puppy rabbit roommate sister sister-in-law snake son
    son-in-law spouse=partner stepbrother stepdaughter stepsister stepson supervisor teacher
    team_lead=manager therapist tortoise turtle tutor twin twin_brother=twin twin_sister=twin
    uncle vet wife=partner younger_brother younger_sister youngest_daughter youngest_son
    """
)
"""People and animals that somebody has, and the word that stands for each."""

FAMILY_COUNTED: Final = words(
    """
    brothers cats children daughters dogs grandchildren kids pets siblings sisters sons
    """
)
SYNONYMS: Final = _pairs(
    """
    new_place=place
    b-day=birthday bday=birthday bed_time=bedtime birth_date=birthday birthdate=birthday
    career=job cell_number=phone cell_phone_number=phone cell=phone cellphone_number=phone
    coffee=coffee_order college=school company=employer contact_number=phone country_of_origin
    course_of_study=major current_age=age current_city=city date_of_birth=birthday
    dob=birthday e-mail_address=email e-mail=email email_address=email field_of_study=major
    firm=employer first_name=name full_name=name go-to_coffee=coffee_order
    home_address=address home_city=city home_town=hometown home=city job_title=job
    line_of_work=job location=city mail_address=email mail=email marital_status=relationship
    mobile_number=phone mobile_phone_number=phone mobile=phone mother_tongue=first_language
    name_now=name native_language=first_language native_tongue=first_language
    nick_name=nickname number=phone occupation=job phone_no=phone phone_number=phone
    place_of_residence=city position=job preferred_name=name profession=job real_name=name
    relationship_status=relationship residence=city ride=car role=job street_address=address
    telephone_number=phone telephone=phone title=job town=city uni=school university=school
    usual_coffee=coffee_order vehicle=car wake_up_time=wake-up_time wakeup_time=wake-up_time
    work=job workplace=employer
    """
)
"""Names of an attribute that mean the same, once `values` has taken determiners and “current” away."""

WORD_SYNONYMS: Final = _pairs(
    """
    apartment=flat appt=appointment catch-up=meeting cellphone=cell centre=center colors=color
    colour=color e-mail=email fav=favorite fave=favorite favourite=favorite flavour=flavor
    holiday=vacation meet-up=meeting meetup=meeting movie=film passcode=code
    passphrase=password pincode=pin pw=password standup=stand-up tv=television wi-fi=wifi
    wireless=wifi wlan=wifi
    """
)
"""Words in the name of an attribute that mean the same."""

VALUED: Final = words(
    """
    pill drug prescription tablet key-code hotel dosage level wristband badge
    address age airline alias allergy anniversary bank bike birthday blood-type brand breed
    browser budget callsign car carrier city code codeword color combination commute country
    degree desk destination diet dish domain dosage dose drink editor email employer extension
    flavor floor framework gate genre gym handle height hobby hometown host instrument
    insurance insurer job keyword language laptop locker login major medication medicine minor
    model motto name nationality nickname number office operator order os password pharmacy
    phone pin plan plate platform postcode provider religion rent ringtone room route salary
    school seat shade sign size slot snack specialty species sponsor starsign subscription
    supplier surname tailor team terminal theme thesis topic type user username venue weight
    zip
    """
)
"""Nouns that have one value each, so that “my … is Y” is a claim whatever Y is."""

EVENTS: Final = words(
    """
    yoga pilates swimming choir rent-day plumber cleaner babysitter recital party
    alarm anniversary appointment arrival barbecue bbq bedtime birthday booking breakfast
    briefing brunch bus call ceremony check-in checkout checkup class concert conference
    course curfew date deadline delivery demo departure dinner due-date exam festival flight
    game gathering gig graduation hearing inspection interview kickoff launch lecture lesson
    lunch match meeting move move-in operation party pickup picnic practice presentation race
    recital rehearsal release renewal reservation retro retrospective reunion review seminar
    session shift show stand-up start surgery sync test tournament train training trip
    vacation viewing visit wake-up webinar wedding workshop
    """
)
"""Nouns that have a time and a place."""

HOLLOW: Final = words(
    """
    advice afternoon answer argument average bad beginning belief best bit bottom case
    challenge chance concern day difference dream dreams end evening everything excuse
    experience fact fault fear feeling feelings first future game-plan goal god goodness
    government guess head heart hope idea impression internet issue joke key kind last least
    life limit line lot luck maximum mind minimum month mood morning most news next night
    nothing one ones only opinion other own part past people person philosophy pleasure point
    present president problem purpose question reason response rest result same score second
    secret semester situation something sort story struggle stuff temperature theory thing
    things third thought thoughts time top top-5 trick truth turn understanding way weather
    week weekend word words world worst year
    """
)
"""Nouns whose “is” says what somebody thinks, not what something has."""

PROFESSIONS: Final = words(
    """
    accountant actor actress actuary administrator analyst animator apprentice architect
    archivist artist assistant astronaut auditor author baker banker barber barista bartender
    beekeeper biologist blacksmith brewer broker builder butcher caretaker carpenter cashier
    chef chemist clerk coach composer conductor consultant contractor cook coordinator
    copywriter counsellor counselor courier curator dentist designer developer diplomat
    director dispatcher doctor driver economist editor electrician engineer farmer firefighter
    fisherman florist freelancer gardener geologist guard hairdresser housekeeper illustrator
    instructor intern janitor jeweler journalist judge lawyer lecturer librarian locksmith
    machinist manager marketer mathematician mechanic midwife musician nanny nurse officer
    operator optician paralegal paramedic pharmacist photographer physicist physiotherapist
    pilot planner plumber policeman policewoman politician postdoc postman potter producer
    professor programmer psychologist realtor receptionist recruiter researcher sailor
    salesperson scientist sculptor secretary soldier sommelier specialist statistician
    strategist student stylist supervisor surgeon surveyor tailor teacher technician teller
    therapist trainer translator trucker tutor vet veterinarian waiter waitress welder
    winemaker writer
    """
)
DIETS: Final = words(
    """
    carnivore dairy-free flexitarian fruitarian gluten-free halal keto kosher lactose-free
    low-carb paleo pescatarian vegan vegetarian
    """
)
LANGUAGES: Final = words(
    """
    arabic basque bengali bulgarian cantonese catalan chinese croatian czech danish dutch
    english esperanto farsi finnish french german greek hebrew hindi hungarian icelandic
    indonesian irish italian japanese korean latin malay mandarin norwegian persian polish
    portuguese punjabi romanian russian serbian slovak spanish swahili swedish tagalog tamil
    telugu thai turkish ukrainian urdu vietnamese welsh
    """
)
STATUSES: Final = words(
    """
    divorced engaged married separated single widowed
    """
)
SUBJECTS: Final = words(
    """
    physics maths math mathematics biology chemistry history law medicine engineering
    computer_science economics psychology philosophy linguistics art music nursing business
    accounting marketing sociology anthropology geography geology statistics political_science
    literature education architecture journalism finance astronomy neuroscience theology pharmacy
    dentistry film_studies graphic_design design biochemistry
    """
)
UNIVERSITIES: Final = words(
    """
    harvard yale stanford mit princeton oxford cambridge berkeley columbia cornell caltech duke brown
    dartmouth northwestern georgetown ucla nyu byu eth kth sorbonne mcgill
    """
)
COUNTRIES: Final = words(
    """
    africa america argentina asia australia austria bangladesh belgium bolivia brazil bulgaria
    canada chile china colombia croatia cuba czechia denmark ecuador egypt england estonia
    europe finland france germany ghana greece guatemala holland honduras hungary iceland
    india indonesia iran iraq ireland israel italy japan kenya korea latvia lithuania malaysia
    mexico morocco netherlands new_zealand nigeria norway pakistan panama peru philippines
    poland portugal romania russia scotland serbia slovakia slovenia south_africa south_korea
    spain sweden switzerland taiwan thailand the_netherlands the_philippines the_states the_uk
    the_united_kingdom the_united_states the_us the_usa turkey u.s. u.s.a. uk ukraine
    united_kingdom united_states us usa venezuela vietnam wales
    """
)
STATES: Final = words(
    """
    alabama alaska alberta arizona arkansas bavaria british_columbia california catalonia
    colorado connecticut delaware florida georgia hawaii idaho illinois indiana iowa kansas
    kentucky louisiana maine maryland massachusetts michigan minnesota mississippi missouri
    montana nebraska nevada new_hampshire new_jersey new_mexico north_carolina north_dakota
    ohio oklahoma ontario oregon pennsylvania quebec rhode_island south_carolina south_dakota
    tennessee texas utah vermont virginia washington_state west_virginia wisconsin wyoming
    """
)
DAYS: Final = words(
    """
    fri friday fridays mon monday mondays sat saturday saturdays sun sunday sundays thu thur
    thurs thursday thursdays today tomorrow tonight tue tues tuesday tuesdays wed wednesday
    wednesdays weekdays weekends
    """
)
MONTHS: Final = words(
    """
    apr april aug august dec december feb february jan january jul july jun june mar march may
    nov november oct october sep sept september
    """
)
COLORS: Final = words(
    """
    beige black blue brown crimson cyan gold golden gray green grey indigo lavender magenta
    maroon navy orange pink purple red silver teal turquoise violet white yellow
    """
)
NO_THING: Final = words(
    """
    i you he she it we they me him them us who which that what is are was were be been am do does did have has had will would can could and or but because if when where there here not if as so than then just only really actually also said one
    """
)
"""Words that are in the name of no thing."""

NO_NAME: Final = words(
    """
    a actually after all already also although always am amazing an and any anyone are as at
    awesome back bad basically be beautiful because been before being biased both busy but can
    cool could crazy definitely did do does doing done dr dumb each either everybody everyone
    everything fine for from funny getting god going gone good great had haha happy has have
    he hello her here hey hi his how i if in is it jesus joking just kidding kind kinda later
    lazy like literally lol may maybe might mr mrs ms must my neither never new nice no nobody
    none not nothing now of oh ok okay old on one or our people perhaps picky please pretty
    probably ready really right sad she should sick since so some somebody someone something
    sorry sort still stupid such super sure thank thanks that the their then there these they
    this those though tired to today tomorrow tonight too trying two unknown unless until very
    was we weird well were what when where which while who whom whose why will with would
    wrong yeah yes you your
    """
)
"""Words that are nobody's name and no value of anything."""

JUDGEMENTS: Final = words(
    """
    able about absolutely actually alive already always amazing angry annoying anything
    awesome awful back bad basically beautiful because being best better big bigger boring
    broken busy chaotic cheap clean closed cold coming common completely complicated cool
    correct crazy cute dead decent definitely delicious different difficult dirty doing down
    dumb early easy embarrassing empty ending everyone everything excited exhausted expensive
    fake falling false fantastic fast faster fine free frustrating full fun funny getting
    going gone good gorgeous great gross growing happy hard having healthy hectic here high
    higher hilarious honestly horrendous horrible hot how huge hungry important impossible
    incredible insane interesting irrelevant kind lame late least less like lonely long longer
    lost loud lovely low lower mad making meaningless more most mostly nervous never new nice
    normal nothing obvious off often ok okay old older on open out over perfect poor possible
    pretty probably quiet quite random rare rather ready real really relevant rich right sad
    safe scared secure short shorter sick similar simple single slow slower small smaller
    smart so solid someone something sometimes somewhere sore sort special starting still
    strange stressful strong stuck such supposed sweet taking terrible terrifying that there
    tiny tired tiring too totally tough true trying ugly unable unique up upset usually vague
    very warm weak weird what whatever when where who why wild wonderful worried worse worst
    worth wrong young younger
    """
)
"""What people think of a thing, which is no value that it has."""

NATIONALITIES: Final = words(
    """
    african american asian australian austrian belgian brazilian british buddhist canadian
    catholic chinese christian christmas conservative czech danish democrat dutch egyptian
    english european filipino finnish french german greek hawaiian hindu hispanic hungarian
    indian iranian irish israeli italian japanese jewish kenyan korean latina latino lds
    liberal mexican mormon moroccan muslim nigerian norwegian pakistani polish portuguese
    protestant republican romanian russian samoan scottish spanish swedish swiss taiwanese
    thai tongan turkish ukrainian vietnamese welsh
    """
)
"""What people are, which is capitalised and is no name."""

FILLER: Final = words(
    """
    :) :d ;) afternoon ah alright awesome bye cheers cool evening fine good
    goodbye goodnight gotcha great ha haha hahaha hahahaha heh hehe hello hey hi hiya hm
    hmm hmmm k kk lmao lol mhm morning much nice night noted np oh ok okay
    perfect rofl so thank thanks thx ty tysm uh um understood
    very welcome wow xd ya yo you you're
    """
)
"""Words that only react to what was said."""

CONTENTLESS: Final = words(
    """
    a about actually again already also am an and anymore are as at be been btw but by called
    change changed correction currently days did do does don't finally for from fyi get going
    got had haha has have hello here hey hi i i'd i'm i've in instead into is isn't it it's
    its just know let lol longer me mine moment more my named new no not note now of oh ok
    okay on only or our out over please really recently remember right said say since so still
    tell than that the then there these this those to today told too up update us very want
    wanted was way we we're we've well were what with yeah yes you your
    """
)
"""Words that say nothing by themselves."""

_ONES = "one two three four five six seven eight nine"
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_UP_TO_NINETEEN = f"zero {_ONES} {_TEENS}".split()

NUMBERS: Final[Mapping[str, str]] = {
    **{word: str(at) for at, word in enumerate(_UP_TO_NINETEEN)},
    **{word: str(10 * at) for at, word in enumerate(_TENS.split(), 2)},
    **{
        f"{tens}-{one}": str(10 * at + number)
        for at, tens in enumerate(_TENS.split(), 2)
        for number, one in enumerate(_ONES.split(), 1)
    },
}
"""The digits of number words up to ninety-nine."""
